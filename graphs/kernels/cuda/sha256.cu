// SHA-256 of texts with prefixes before them: words, rounds, and groups of chains (FIPS 180-4).
//
// This code is bound by the integer ALU, which does shifts and logic, while the multipliers would
// be idle. So every sum includes a multiplication by `one`, whose value the compiler does not know,
// and is compiled to an IMAD. Together with the schedule's shifts, which are written as products
// too, this takes a fifth of the work off the ALU.

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

__constant__ u32 ROUND[64] = ROUND_WORDS;
#if HASHES
static __device__ constexpr u32 START[HASHES][8] = START_WORDS;
static __device__ constexpr u32 ENTERED[HASHES][8] = ENTERED_WORDS;
static __device__ constexpr u32 HEAD[HASHES][16] = HEAD_WORDS;
static __device__ constexpr int COLUMN[HASHES] = COLUMNS;
#endif

__device__ __forceinline__ u32 add(u32 a, u32 b, u32 one) { return a * one + b; }

__device__ __forceinline__ u32 rotated(u32 x, int n) { return __funnelshift_r(x, x, n); }

// x >> n, and 0 for n >= 32, where C++ leaves the shift undefined.
__device__ __forceinline__ u32 shifted(u32 x, u32 n) { return __funnelshift_rc(x, 0, n); }

// x >> n by the multiplier: the upper half of a product.
__device__ __forceinline__ u32 right(u32 x, int n, u32 one) { return __umulhi(x, one << (32 - n)); }

// Replace sixteen words of the message schedule by the next sixteen.
__device__ __forceinline__ void extend(u32 (&w)[16], u32 one) {
#pragma unroll
    for (int j = 0; j < 16; ++j) {
        u32 near = w[(j + 14) & 15], far = w[(j + 1) & 15];
        u32 s1 = rotated(near, 17) ^ rotated(near, 19) ^ right(near, 10, one);
        u32 s0 = rotated(far, 7) ^ rotated(far, 18) ^ right(far, 3, one);
        w[j] = add(add(w[j], w[(j + 9) & 15], one), add(s0, s1, one), one);
    }
}

// Do round j of sixteen; `word` is the message's word plus the round's constant. The names a to h
// rotate by one position per round; the values stay where they are.
__device__ __forceinline__ void round(u32 (&s)[8], int j, u32 word, u32 one) {
    u32 a = s[(16 - j) & 7], b = s[(17 - j) & 7], c = s[(18 - j) & 7];
    u32 e = s[(20 - j) & 7], f = s[(21 - j) & 7], g = s[(22 - j) & 7];
    u32 &d = s[(19 - j) & 7], &h = s[(23 - j) & 7];
    u32 s1 = rotated(e, 6) ^ rotated(e, 11) ^ rotated(e, 25);
    u32 s0 = rotated(a, 2) ^ rotated(a, 13) ^ rotated(a, 22);
    u32 t = add(add(add(h, word, one), (e & f) ^ (~e & g), one), s1, one);
    d = add(d, t, one);
    h = add(add(t, (a & b) ^ (a & c) ^ (b & c), one), s0, one);
}

// Do 64 rounds of every chain of a group over one message: the chains share its schedule. `s` holds
// the state after the first `DONE` rounds. The loop runs four times: fully unrolled, it would not
// fit the instruction caches.
template <int CHAINS, int DONE>
__device__ __forceinline__ void rounds(u32 (&s)[CHAINS][8], u32 (&w)[16], u32 one) {
#pragma unroll 1
    for (int i = 0; i < 64; i += 16) {
        if (i) extend(w, one);
#pragma unroll
        for (int j = 0; j < 16; ++j) {
            if (j < DONE && !i) continue;
            u32 word = add(w[j], ROUND[i + j], one);
#pragma unroll
            for (int c = 0; c < CHAINS; ++c) round(s[c], j, word, one);
        }
    }
}

// A text, and the position of its bytes in a message. The words of a message are assembled from
// aligned words of memory. Only words that hold a byte of the text are read or, for an empty text,
// the byte before it.
struct Source {
    const u32 *aligned;  // the word of memory that holds the next block's first byte
    u32 skew;            // its position in that word, 0 to 3
    u32 selector;        // for __byte_perm: four bytes of two words, the first most significant
    long long left;      // bytes of text from the next block's first byte

    // `tail` bytes of prefix precede the text in its first block.
    __device__ __forceinline__ Source(const u8 *text, long long length, int tail) {
        u64 at = (u64)text - tail;
        skew = (u32)at & 3;
        aligned = (const u32 *)(at - skew);
        selector = 0x0123 + 0x1111 * skew;
        left = length + tail;
    }

    __device__ __forceinline__ void next() {
        aligned += 16;
        left -= 64;
    }

    // Read a block that is filled with text.
    __device__ __forceinline__ void whole(u32 (&w)[16]) const {
        u32 low = __ldg(aligned);
#pragma unroll
        for (int j = 0; j < 16; ++j) {
            u32 high = j < 15 || skew ? __ldg(aligned + j + 1) : 0;
            w[j] = __byte_perm(low, high, selector);
            low = high;
        }
    }

    // Read a block in which the text begins (after `TAIL` bytes, which are left zero), or ends, or
    // both; 0x80 and zeros follow the text.
    template <int TAIL>
    __device__ __forceinline__ void part(u32 (&w)[16]) const {
        constexpr int FIRST = TAIL / 4;
        int here = left < 96 ? (int)left : 96;  // no byte of this block is beyond that
        int held = here + (int)skew;
        u32 low = 4 * FIRST < held && TAIL % 4 + skew < 4 ? __ldg(aligned + FIRST) : 0;
#pragma unroll
        for (int j = 0; j < 16; ++j) {
            if (j < FIRST) {
                w[j] = 0;
                continue;
            }
            u32 high = 4 * (j + 1) < held ? __ldg(aligned + j + 1) : 0;
            int bits = 8 * (here - 4 * j);
            u32 beyond = shifted(0xffffffffu, bits > 0 ? bits : 0);
            u32 end = shifted(0x80000000u, (u32)bits);
            w[j] = (__byte_perm(low, high, selector) & ~beyond) | end;
            low = high;
        }
        w[FIRST] &= 0xffffffffu >> 8 * (TAIL % 4);
    }
};

#if HASHES
// Hash one text after every prefix of a group of `CHAINS` chains, which begins at chain `FIRST`. The
// prefixes have `WHOLE` blocks and `TAIL` bytes. `START` is a chain's state before the block in which
// the text begins, `ENTERED` the state after the rounds whose words are all prefix, and `HEAD` the
// words of the prefix in that block.
template <int CHAINS, int FIRST, int WHOLE, int TAIL>
__device__ __forceinline__ void hash(
    const u8 *text, long long length, u32 one, u32 (&state)[CHAINS][8]
) {
    Source source(text, length, TAIL);
    u64 bits = 8 * (u64)(length + TAIL + 64 * WHOLE);
    long long blocks = (length + TAIL + 72) >> 6;
    u32 w[16];
#pragma unroll
    for (int c = 0; c < CHAINS; ++c)
#pragma unroll
        for (int i = 0; i < 8; ++i) state[c][i] = START[FIRST + c][i];
    if (TAIL) {
        source.part<TAIL>(w);
        if (--blocks == 0) w[14] = (u32)(bits >> 32), w[15] = (u32)bits;
#pragma unroll
        for (int c = 0; c < CHAINS; ++c) {
            u32 s[1][8], own[16];
#pragma unroll
            for (int i = 0; i < 8; ++i) s[0][i] = ENTERED[FIRST + c][i];
#pragma unroll
            for (int j = 0; j < 16; ++j) own[j] = 4 * j < TAIL ? w[j] | HEAD[FIRST + c][j] : w[j];
            rounds<1, TAIL / 4>(s, own, one);
#pragma unroll
            for (int i = 0; i < 8; ++i) state[c][i] = add(state[c][i], s[0][i], one);
        }
        source.next();
    }
#pragma unroll 1
    for (; blocks > 0; --blocks, source.next()) {
        if (source.left >= 64) {
            source.whole(w);
        } else {
            source.part<0>(w);
            if (blocks == 1) w[14] = (u32)(bits >> 32), w[15] = (u32)bits;
        }
        u32 s[CHAINS][8];
#pragma unroll
        for (int c = 0; c < CHAINS; ++c)
#pragma unroll
            for (int i = 0; i < 8; ++i) s[c][i] = state[c][i];
        rounds<CHAINS, 0>(s, w, one);
#pragma unroll
        for (int c = 0; c < CHAINS; ++c)
#pragma unroll
            for (int i = 0; i < 8; ++i) state[c][i] = add(state[c][i], s[c][i], one);
    }
}
#endif

// Sum bytes 0, 5, 13, 21 and 29 of a hash.
__device__ __forceinline__ u32 weight(const u32 (&hash)[8]) {
    u32 sum = hash[0] >> 24;
#pragma unroll
    for (int i = 1; i < 8; i += 2) sum += hash[i] >> 16 & 255;
    return sum;
}
