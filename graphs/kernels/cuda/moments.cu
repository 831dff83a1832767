// Arithmetic on a text's shares: prime bases, variance, entropy and two mixtures of them.
//
// It repeats the operations of `reference` in the same order, in IEEE double precision, compiled
// without contraction (--fmad=false). CuPy makes the compiler flush subnormal floats to zero
// (-ftz=true), which does not affect `widened` and `narrowed`.

#ifdef __CUDA_ARCH__
__device__ __forceinline__ double widened(float x) {
    double result;
    asm("cvt.f64.f32 %0, %1;" : "=d"(result) : "f"(x));
    return result;
}
__device__ __forceinline__ float narrowed(double x) {
    float result;
    asm("cvt.rn.f32.f64 %0, %1;" : "=f"(result) : "d"(x));
    return result;
}
#else
__device__ __forceinline__ double widened(float x) { return x; }
__device__ __forceinline__ float narrowed(double x) { return (float)x; }
#endif

#if PRIMES
static __device__ constexpr double SERIES[SERIES_LENGTH] = SERIES_TERMS;
static __device__ constexpr double FACTOR[PRIMES][DHATUS] = FACTORS;

__device__ __forceinline__ double logarithm(double x) {
    long long bits = __double_as_longlong(x);
    int exponent = (int)(bits >> 52) - 1022;
    double m = __longlong_as_double((bits & 0xfffffffffffffLL) | 0x3fe0000000000000LL);
    bool low = m < SQRT_HALF;
    double e = (double)(low ? exponent - 1 : exponent);
    double f = (low ? m * 2.0 : m) - 1.0;
    double s = f / (f + 2.0);
    double z = s * s;
    double series = SERIES[SERIES_LENGTH - 1];
#pragma unroll
    for (int k = SERIES_LENGTH - 2; k > 0; --k) series = series * z + SERIES[k];
    double half = 0.5 * f * f;
    return e * LN2 - ((half - s * (half + 2.0 * z * series)) - f);
}

__device__ __forceinline__ double squares(const double (&x)[PRIMES], double mean) {
    double total = 0.0;
#pragma unroll
    for (int j = 0; j < PRIMES; ++j) total += (x[j] - mean) * (x[j] - mean);
    return total / PRIMES;
}

// Compute the prime bases of text `row` of `rows`, then its variance, entropy, ambiguity and
// normalised ambiguity.
__device__ __forceinline__ void moments(
    const float (&shares)[DHATUS], float *base_out, float *parts, long long row, long long rows
) {
    double base[PRIMES], total = 0.0, q_total = 0.0, entropy = 0.0;
#pragma unroll
    for (int j = 0; j < PRIMES; ++j) {
        base[j] = 0.0;
#pragma unroll
        for (int k = 0; k < DHATUS; ++k) base[j] += widened(shares[k]) * FACTOR[j][k];
        base_out[row * PRIMES + j] = narrowed(base[j]);
        total += base[j];
    }
    double variance = squares(base, total / PRIMES);
    total += EPSILON;
#pragma unroll
    for (int j = 0; j < PRIMES; ++j) {
        base[j] = base[j] / total;  // base holds q from here on
        q_total += base[j];
        entropy -= base[j] * logarithm(base[j] + EPSILON);
    }
    double spread = squares(base, q_total / PRIMES) * SPREAD_SCALE;
    parts[row] = narrowed(variance);
    parts[rows + row] = narrowed(entropy);
    parts[2 * rows + row] = narrowed(ENTROPY_SHARE * entropy + VARIANCE_SHARE * variance);
    parts[3 * rows + row] =
        narrowed(ENTROPY_SHARE * (entropy / LOG_COUNT) + VARIANCE_SHARE * spread);
}
#endif
