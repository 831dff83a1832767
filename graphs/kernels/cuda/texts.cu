// The kernels: sort texts by length, hash them, and do the arithmetic.

// --- order ----------------------------------------------------------------------------------------
// All threads of a warp loop over as many blocks as the longest of their texts has, so texts are
// processed in order of length, the longest first. Lengths are binned: bins are eight bytes wide up
// to 8 KiB, and above that there are 32 bins per power of two.

constexpr int NARROW = 1024;
constexpr int BINS = NARROW + 32 * 50;

__device__ __forceinline__ int bin_of(long long length) {
    if (length < 8 * NARROW) return BINS - 1 - (int)(length >> 3);
    int power = 63 - __clzll(length);
    return BINS - 1 - (NARROW + 32 * (power - 13) + (int)(length >> (power - 5) & 31));
}

__device__ __forceinline__ long long length_of(const long long *offsets, long long text) {
    return offsets[text + 1] - offsets[text];
}

// Count the texts of this block's run per bin, in shared memory.
__device__ __forceinline__ void tally(
    const long long *offsets, long long texts, int run, u32 *counts
) {
    for (int bin = threadIdx.x; bin < BINS; bin += blockDim.x) counts[bin] = 0;
    __syncthreads();
    long long begin = (long long)blockIdx.x * run, end = begin + run < texts ? begin + run : texts;
    for (long long text = begin + threadIdx.x; text < end; text += blockDim.x)
        atomicAdd(&counts[bin_of(length_of(offsets, text))], 1u);
    __syncthreads();
}

// Count the texts per bin: u32 [BINS], zero on entry.
extern "C" __global__ void count_lengths(
    const long long *offsets, long long texts, int run, u32 *counts
) {
    __shared__ u32 here[BINS];
    tally(offsets, texts, run, here);
    for (int bin = threadIdx.x; bin < BINS; bin += blockDim.x)
        if (here[bin]) atomicAdd(&counts[bin], here[bin]);
}

// Turn counts into the start of every bin. Launched with one block.
extern "C" __global__ void place_bins(u32 *counts) {
    __shared__ u32 sums[1024];
    int each = (BINS + blockDim.x - 1) / blockDim.x, begin = threadIdx.x * each;
    u32 sum = 0;
    for (int bin = begin; bin < begin + each && bin < BINS; ++bin) sum += counts[bin];
    sums[threadIdx.x] = sum;
    __syncthreads();
    u32 before = 0;
    for (int thread = 0; thread < threadIdx.x; ++thread) before += sums[thread];
    for (int bin = begin; bin < begin + each && bin < BINS; ++bin) {
        u32 count = counts[bin];
        counts[bin] = before;
        before += count;
    }
}

// Write the indices of the texts bin by bin: u32 [texts]. `places` is overwritten.
extern "C" __global__ void order_texts(
    const long long *offsets, long long texts, int run, u32 *places, u32 *order
) {
    __shared__ u32 next[BINS];
    tally(offsets, texts, run, next);
    for (int bin = threadIdx.x; bin < BINS; bin += blockDim.x)
        if (next[bin]) next[bin] = atomicAdd(&places[bin], next[bin]);
    __syncthreads();
    long long begin = (long long)blockIdx.x * run, end = begin + run < texts ? begin + run : texts;
    for (long long text = begin + threadIdx.x; text < end; text += blockDim.x)
        order[atomicAdd(&next[bin_of(length_of(offsets, text))], 1u)] = (u32)text;
}

// --- texts ----------------------------------------------------------------------------------------
// A text is hashed by one thread per team, each in a different warp, with the team's groups of
// chains, so no warp diverges. Then the text's first thread does the arithmetic.

constexpr int WARPS_PER_TEAM = 2;
constexpr int TEXTS_PER_BLOCK = 32 * WARPS_PER_TEAM;

#if HASHES
template <int CHAINS, int FIRST, int WHOLE, int TAIL>
__device__ __forceinline__ void hash_group(
    const u8 *text, long long length, u32 one, u16 *weights, u8 *digest
) {
    u32 state[CHAINS][8];
    hash<CHAINS, FIRST, WHOLE, TAIL>(text, length, one, state);
#pragma unroll
    for (int c = 0; c < CHAINS; ++c) {
        if (COLUMN[FIRST + c] >= 0) {
            weights[COLUMN[FIRST + c] * TEXTS_PER_BLOCK] = (u16)weight(state[c]);
        } else {
#pragma unroll
            for (int i = 0; i < 8; ++i)
                ((u32 *)digest)[i] = __byte_perm(state[c][i], 0, 0x0123);
        }
    }
}

__device__ __forceinline__ void work_of(
    int team, const u8 *text, long long length, u32 one, u16 *weights, u8 *digest
) {
    TEAM_WORK
}

// With four blocks per processor, a thread has 128 registers, and the largest group needs most.
extern "C" __global__ void __launch_bounds__(TEAMS * TEXTS_PER_BLOCK, 4)
    compute_texts(
        const u8 *data, const long long *offsets, const u32 *order, long long texts, u32 one,
        u8 *digests, float *shares_out, float *base, float *parts
    ) {
    __shared__ u16 weights[DHATUS + 1][TEXTS_PER_BLOCK];  // up to 5 * 255 each
    int warp = threadIdx.x / 32, team = warp % TEAMS;
    int mine = warp / TEAMS * 32 + threadIdx.x % 32;
    long long place = (long long)blockIdx.x * TEXTS_PER_BLOCK + mine;
    bool there = place < texts;
    long long text = there ? order[place] : 0;
    if (there)
        work_of(
            team, data + offsets[text], length_of(offsets, text), one,
            &weights[0][mine], digests + 32 * text
        );
#if DHATUS
    __syncthreads();
    if (!there || team) return;
    u32 total = 0;
#pragma unroll
    for (int k = 0; k < DHATUS; ++k) total += weights[k][mine];
    float shares[DHATUS];
#pragma unroll
    for (int k = 0; k < DHATUS; ++k) {
        // Integers below 2^24: the quotient is the correctly rounded one.
        shares[k] = total ? __fdiv_rn((float)weights[k][mine], (float)total) : 0.0f;
        shares_out[text * DHATUS + k] = shares[k];
    }
#if PRIMES
    moments(shares, base, parts, text, texts);
#endif
#endif
}
#elif PRIMES
extern "C" __global__ void compute_moments(
    const float *dhatu, long long texts, float *base, float *parts
) {
    long long text = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (text >= texts) return;
    float shares[DHATUS];
#pragma unroll
    for (int k = 0; k < DHATUS; ++k) shares[k] = dhatu[text * DHATUS + k];
    moments(shares, base, parts, text, texts);
}
#endif
