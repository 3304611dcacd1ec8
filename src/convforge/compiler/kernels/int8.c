/* Numbers of one byte: sums of products, and how they become bytes again.
 *
 * A map lies as [block][row][column][64 channels], so that a pixel of a block is as long as 16
 * floats, and taps, steps and borders are those of blocked maps. Four neighbouring channels are a
 * word; products of words and four weights are summed in 32 bits. */
#ifndef CF_INT8
#define CF_INT8
#include <stdint.h>
#if defined(__AVX512VNNI__) && defined(__AVX512VBMI__)
#define CF_VNNI 1
#endif

typedef int32_t __attribute__((may_alias)) cf_word;
typedef int16_t __attribute__((may_alias)) cf_short;
typedef uint8_t cf_byte;

typedef struct {
    cf_sums sums; /* what a tile is told comes first: it is given a cf_tile's arguments */
    int addend;   /* scale of what is added, in 4096ths of the result's */
    int found;    /* whether the result is looked up */
    int largest;  /* byte, of what is looked up 255 */
} cf_int8;

/* What follows the weights of a unit of 32 outputs: its biases and shifts, its multipliers as the
 * vectors below have them, its table. */
#define CF_SHIFTS 32       /* floats to them */
#define CF_MULTIPLIERS 64
#define CF_TABLE 80

typedef int cf_ints __attribute__((vector_size(4 * CF_LANES)));
typedef cf_byte cf_bytes __attribute__((vector_size(CF_LANES)));

CF_INLINE cf_ints cf_each(int x)
{
    return x - (cf_ints){0};
}

CF_INLINE cf_ints cf_load_ints(const void *p)
{
    cf_ints x;
    memcpy(&x, p, sizeof x);
    return x;
}

CF_INLINE cf_ints cf_load_bytes(const void *p)
{
    cf_bytes x;
    memcpy(&x, p, sizeof x);
    return __builtin_convertvector(x, cf_ints);
}

CF_INLINE cf_ints cf_between(cf_ints low, cf_ints x, cf_ints high)
{
    const cf_ints below = x < low, above = x > high;
    return (low & below) | (high & above) | (x & ~(below | above));
}

CF_INLINE void cf_store_bytes(void *p, cf_ints x, int top)
{
    const cf_bytes bytes = __builtin_convertvector(cf_between(cf_each(0), x, cf_each(top)), cf_bytes);
    memcpy(p, &bytes, sizeof bytes);
}

CF_INLINE cf_ints cf_rounded(cf_ints x, cf_ints multiplier)
{
    return (x * multiplier + (1 << 14)) >> 15;
}

CF_INLINE cf_ints cf_shorts(cf_ints x)
{
    return cf_between(cf_each(-32768), x, cf_each(32767));
}

#ifdef CF_VNNI
/* Four products of bytes a lane. The intrinsic makes gcc 12 move sums about: 5 to 7 % of a network. */
CF_INLINE __m512i cf_dot(__m512i sum, __m512i x, __m512i w)
{
    __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(x), "v"(w));
    return sum;
}

/* The bytes of a table of 256. */
CF_INLINE __m512i cf_look_up(const float *table, __m512i at)
{
    const __m512i low = _mm512_permutex2var_epi8(_mm512_loadu_si512(table), at,
                                                 _mm512_loadu_si512(table + 16));
    const __m512i high = _mm512_permutex2var_epi8(_mm512_loadu_si512(table + 32), at,
                                                  _mm512_loadu_si512(table + 48));
    return _mm512_mask_mov_epi8(low, _mm512_movepi8_mask(at), high);
}

/* Two vectors of sums as 16-bit numbers of the result's scale: four of a, four of b, four of a ... */
CF_INLINE __m512i cf_scaled(__m512i a, __m512i b, __m512i shift_a, __m512i shift_b, __m512i by)
{
    return _mm512_mulhrs_epi16(
        _mm512_packs_epi32(_mm512_srav_epi32(a, shift_a), _mm512_srav_epi32(b, shift_b)), by);
}
#endif

#if defined(__AVX2__) && !defined(CF_VNNI)
/* The same of eight sums: four of a, four of b, four of a, four of b. */
CF_INLINE __m256i cf_scaled(__m256i a, __m256i b, __m256i shift_a, __m256i shift_b, __m256i by)
{
    return _mm256_mulhrs_epi16(
        _mm256_packs_epi32(_mm256_srav_epi32(a, shift_a), _mm256_srav_epi32(b, shift_b)), by);
}

CF_INLINE __m256i cf_load_wide(const void *p)
{
    return _mm256_loadu_si256(p);
}

CF_INLINE void cf_store_sixteen(void *p, __m256i shorts, int top, const cf_byte *table)
{
    const __m256i bytes = _mm256_permute4x64_epi64(_mm256_packus_epi16(shorts, shorts), 0xd8);
    _mm_storeu_si128(p, _mm_min_epu8(_mm256_castsi256_si128(bytes), _mm_set1_epi8((char)top)));
    cf_byte *to = p;
    if (table)
        for (int n = 0; n < 16; n++)
            to[n] = table[to[n]];
}
#endif
#endif
