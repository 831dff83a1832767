// Texts as another library has left them in memory: which of them are null, which are not UTF-8, and
// copies of some of their bytes. A warp per text, so that neighbouring threads read neighbouring bytes.

typedef unsigned char u8;

constexpr u8 USABLE = 0, NULL_TEXT = 1, NOT_UTF8 = 2;

__device__ __forceinline__ long long text_of_warp() {
    return (long long)blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32;
}

// The number of bytes that must follow a byte: 0 for ASCII and for what cannot begin a character.
__device__ __forceinline__ int following(u8 byte) {
    return byte < 0xc2 || byte > 0xf4 ? 0 : byte < 0xe0 ? 1 : byte < 0xf0 ? 2 : 3;
}

__device__ __forceinline__ bool continues(u8 byte) { return (byte & 0xc0) == 0x80; }

// Whether the character that begins at `at` is complete and allowed (The Unicode Standard, table
// 3-7): no longer than needed, no half of a surrogate pair, and at most U+10FFFF.
__device__ __forceinline__ bool is_character(const u8 *text, long long at, long long length) {
    u8 first = text[at];
    int more = following(first);
    if (!more || at + more >= length) return false;
    u8 second = text[at + 1];
    u8 low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
    u8 high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
    if (second < low || second > high) return false;
    for (int i = 2; i <= more; ++i)
        if (!continues(text[at + i])) return false;
    return true;
}

// Whether a character begins so near before `at` that the byte there may belong to it. What else it
// must be is seen where it begins.
__device__ __forceinline__ bool is_within(const u8 *text, long long at) {
    for (int back = 1; back <= 3 && back <= at; ++back) {
        u8 before = text[at - back];
        if (!continues(before)) return following(before) >= back;
    }
    return false;
}

// Write the state of every text: u8 [texts], which is USABLE on entry. `mask` has a bit per text,
// from bit `first` on, which is 0 for a null text; without `masked` no text is null.
extern "C" __global__ void check_texts(
    const u8 *data, const long long *offsets, const u8 *mask, int masked, long long first,
    long long texts, u8 *states
) {
    long long text = text_of_warp();
    if (text >= texts) return;
    long long bit = first + text;
    if (masked && !(mask[bit >> 3] >> (bit & 7) & 1)) {
        states[text] = NULL_TEXT;
        return;
    }
    const u8 *bytes = data + offsets[text];
    long long length = offsets[text + 1] - offsets[text];
    bool valid = true;
    for (long long at = threadIdx.x % 32; at < length; at += 32) {
        u8 byte = bytes[at];
        if (byte < 0x80) continue;
        valid = valid && (continues(byte) ? is_within(bytes, at) : is_character(bytes, at, length));
    }
    if (!valid) states[text] = NOT_UTF8;  // threads that write it write the same
}

// Copy the beginnings of texts to where they lie end to end: text i, which begins at `starts[i]`, to
// bytes `offsets[i]` to `offsets[i + 1]`.
extern "C" __global__ void copy_texts(
    const u8 *data, const long long *starts, const long long *offsets, long long texts, u8 *copy
) {
    long long text = text_of_warp();
    if (text >= texts) return;
    const u8 *from = data + starts[text];
    u8 *to = copy + offsets[text];
    long long length = offsets[text + 1] - offsets[text];
    for (long long at = threadIdx.x % 32; at < length; at += 32) to[at] = from[at];
}
