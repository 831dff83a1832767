// CUDA C++ for a host compiler: the keywords and intrinsics that our sources use, and a launch that
// runs a grid block by block. The threads of a block are fibers: each runs until it ends or reaches
// __syncthreads, then the next one runs, so shared memory behaves as on a device.
#include <cmath>
#include <cstring>
#include <ucontext.h>
#include <vector>

#define __device__
#define __constant__ static const
#define __forceinline__ inline
#define __global__
#define __shared__ static thread_local
#define __launch_bounds__(...)

struct Index { unsigned x; };
static thread_local Index threadIdx, blockIdx, blockDim;

static inline unsigned __funnelshift_rc(unsigned low, unsigned high, unsigned n) {
    unsigned long long both = (unsigned long long)high << 32 | low;
    return (unsigned)(both >> (n < 32 ? n : 32));
}
static inline unsigned __funnelshift_r(unsigned low, unsigned high, unsigned n) {
    return __funnelshift_rc(low, high, n & 31);
}
static inline unsigned __byte_perm(unsigned low, unsigned high, unsigned selector) {
    unsigned long long both = (unsigned long long)high << 32 | low;
    unsigned result = 0;
    for (int i = 0; i < 4; ++i)
        result |= (unsigned)(both >> 8 * (selector >> 4 * i & 7) & 255) << 8 * i;
    return result;
}
static inline unsigned __umulhi(unsigned a, unsigned b) {
    return (unsigned)((unsigned long long)a * b >> 32);
}
static inline int __clzll(long long x) { return x ? __builtin_clzll((unsigned long long)x) : 64; }
static inline float __fdiv_rn(float a, float b) { return a / b; }
template <class T> static inline T __ldg(const T *address) { return *address; }
static inline long long __double_as_longlong(double x) {
    long long bits;
    memcpy(&bits, &x, 8);
    return bits;
}
static inline double __longlong_as_double(long long bits) {
    double x;
    memcpy(&x, &bits, 8);
    return x;
}
static inline unsigned atomicAdd(unsigned *where, unsigned value) {
    unsigned before = *where;
    *where += value;
    return before;
}

namespace fibers {
static thread_local ucontext_t scheduler;
static thread_local std::vector<ucontext_t> contexts;
static thread_local std::vector<bool> ended;
static thread_local void (*body)(void *);
static thread_local void *arguments;

static void enter() {
    body(arguments);
    ended[threadIdx.x] = true;
}

static void run_block(unsigned threads) {
    static thread_local std::vector<char> stacks;
    const size_t size = 64 << 10;
    stacks.resize(threads * size);
    contexts.resize(threads);
    ended.assign(threads, false);
    for (unsigned thread = 0; thread < threads; ++thread) {
        ucontext_t &context = contexts[thread];
        getcontext(&context);
        context.uc_stack.ss_sp = &stacks[thread * size];
        context.uc_stack.ss_size = size;
        context.uc_link = &scheduler;
        makecontext(&context, enter, 0);
    }
    for (bool more = true; more;) {
        more = false;
        for (unsigned thread = 0; thread < threads; ++thread) {
            if (ended[thread]) continue;
            threadIdx.x = thread;
            swapcontext(&scheduler, &contexts[thread]);
            more = more || !ended[thread];
        }
    }
}
}  // namespace fibers

static inline void __syncthreads() {
    swapcontext(&fibers::contexts[threadIdx.x], &fibers::scheduler);
}

// `arguments` holds pointers to the kernel's arguments.
template <size_t... I, class... Arguments>
static void launch_with(
    void (*kernel)(Arguments...), unsigned blocks, unsigned threads, void **arguments,
    std::index_sequence<I...>
) {
    auto call = [&] { kernel(*(Arguments *)arguments[I]...); };
    fibers::body = [](void *call_) { (*(decltype(call) *)call_)(); };
    fibers::arguments = &call;
    blockDim.x = threads;
    for (unsigned block = 0; block < blocks; ++block) {
        blockIdx.x = block;
        fibers::run_block(threads);
    }
}

template <class... Arguments>
static void launch(void (*kernel)(Arguments...), unsigned blocks, unsigned threads, void **given) {
    launch_with(kernel, blocks, threads, given, std::index_sequence_for<Arguments...>());
}
