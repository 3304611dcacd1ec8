/* Vectors of floats as wide as the level's registers, and blocks of 16 floats made of them.
 *
 * 16 channels of a pixel are a block in memory at every level: one AVX-512 vector, two of AVX2, four
 * of anything else. The compilers' own vectors do the arithmetic on all targets. */
#ifndef CF_LANES
#if defined(__GNUC__) && !defined(__clang__)
/* Both take vectors that the code keeps in registers apart: Winograd's transforms of 128 channels at
 * 28x28 take 612 us with them and 559 without (AVX-512), 719 and 615 (AVX2; gcc 12, Zen 4). */
#pragma GCC optimize("no-predictive-commoning", "no-tree-slp-vectorize")
#endif
#if defined(__AVX512F__)
#define CF_LANES 16
#elif defined(__AVX2__)
#define CF_LANES 8
#else
#define CF_LANES 4
#endif
#define CF_VECTORS (16 / CF_LANES) /* in a block */
#if defined(__SSE2__)
#include <immintrin.h>
#elif defined(__wasm_simd128__)
#include <wasm_simd128.h>
#endif
#define CF_INLINE static inline __attribute__((always_inline, unused))
#define CF_CALLED static __attribute__((noinline, unused))
#define CF_UNROLL _Pragma("GCC unroll 64")

typedef float cf_vector __attribute__((vector_size(4 * CF_LANES)));
typedef int cf_mask __attribute__((vector_size(4 * CF_LANES)));

CF_INLINE cf_vector cf_load(const float *p)
{
    return *(const cf_vector *)(const void *)p;
}

CF_INLINE void cf_store(float *p, cf_vector x)
{
    *(cf_vector *)(void *)p = x;
}

CF_INLINE cf_vector cf_every(float x)
{
    return x - (cf_vector){0}; /* x - 0 is x, so this is the broadcast alone */
}

/* a b + c */
CF_INLINE cf_vector cf_vector_madd(cf_vector a, cf_vector b, cf_vector c)
{
#if defined(__wasm_relaxed_simd__)
    return (cf_vector)wasm_f32x4_relaxed_madd((v128_t)a, (v128_t)b, (v128_t)c);
#else
    return a * b + c;
#endif
}

/* a > b ? a : b, so what is no number in b comes through. */
CF_INLINE cf_vector cf_vector_max(cf_vector a, cf_vector b)
{
#if CF_LANES == 16
    return (cf_vector)_mm512_max_ps((__m512)a, (__m512)b);
#elif CF_LANES == 8
    return (cf_vector)_mm256_max_ps((__m256)a, (__m256)b);
#elif defined(__SSE2__)
    return (cf_vector)_mm_max_ps((__m128)a, (__m128)b);
#else
    const cf_mask first = a > b;
    return (cf_vector)(((cf_mask)a & first) | ((cf_mask)b & ~first));
#endif
}

/* a < b ? a : b */
CF_INLINE cf_vector cf_vector_min(cf_vector a, cf_vector b)
{
#if CF_LANES == 16
    return (cf_vector)_mm512_min_ps((__m512)a, (__m512)b);
#elif CF_LANES == 8
    return (cf_vector)_mm256_min_ps((__m256)a, (__m256)b);
#elif defined(__SSE2__)
    return (cf_vector)_mm_min_ps((__m128)a, (__m128)b);
#else
    const cf_mask first = a < b;
    return (cf_vector)(((cf_mask)a & first) | ((cf_mask)b & ~first));
#endif
}

/* The larger one, and no number where either is none. */
CF_INLINE cf_vector cf_vector_greatest(cf_vector a, cf_vector b)
{
#if CF_LANES == 16
    const __mmask16 none = _mm512_cmp_ps_mask((__m512)a, (__m512)a, _CMP_UNORD_Q);
    return (cf_vector)_mm512_mask_mov_ps((__m512)cf_vector_max(a, b), none, (__m512)a);
#elif CF_LANES == 8
    const __m256 none = _mm256_cmp_ps((__m256)a, (__m256)a, _CMP_UNORD_Q);
    return (cf_vector)_mm256_blendv_ps((__m256)cf_vector_max(a, b), (__m256)a, none);
#else
    const cf_mask none = a != a;
    return (cf_vector)(((cf_mask)a & none) | ((cf_mask)cf_vector_max(a, b) & ~none));
#endif
}
#endif

