/* Numbers of one byte: sums of products, and how they become bytes again.
 *
 * A map lies as [block][row][column][64 channels]. Four neighbouring channels are a word; products
 * of words and four weights are summed in 32 bits. */
#ifndef CF_INT8
#define CF_INT8
#if defined(__AVX512VNNI__) && defined(__AVX512VBMI__)
#define CF_VNNI 1
#endif

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

typedef cf_byte cf_bytes __attribute__((vector_size(CF_LANES)));

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

#if defined(__wasm_simd128__)
/* Four sums of products of words. Engines differ in their products of bytes, but not where one factor
 * is from 0 to 127, which a map's bytes are here, so that sums of two fit 16 bits; without relaxed
 * SIMD products are of 16 bits, and four sums are two vectors of half sums on the way. */
#define CF_WEB 1
#if defined(__wasm_relaxed_simd__)
#define CF_PARTS 1
#else
#define CF_PARTS 2
#endif

typedef struct {
    v128_t part[CF_PARTS];
} cf_four;

/* What a word is multiplied with, for four outputs. */
CF_INLINE cf_four cf_load_four(const void *p)
{
#if CF_PARTS == 1
    return (cf_four){{wasm_v128_load(p)}};
#else
    return (cf_four){{wasm_i16x8_load8x8(p), wasm_i16x8_load8x8((const char *)p + 8)}};
#endif
}

/* One word for all outputs. */
CF_INLINE cf_four cf_load_word(const void *p)
{
    const v128_t word = wasm_v128_load32_splat(p);
#if CF_PARTS == 1
    return (cf_four){{word}};
#else
    const v128_t wide = wasm_u16x8_extend_low_u8x16(word);
    return (cf_four){{wide, wide}};
#endif
}

/* Four words, one for each output. */
CF_INLINE cf_four cf_four_words(v128_t words)
{
#if CF_PARTS == 1
    return (cf_four){{words}};
#else
    return (cf_four){{wasm_u16x8_extend_low_u8x16(words), wasm_u16x8_extend_high_u8x16(words)}};
#endif
}

/* Sums that begin with four numbers. */
CF_INLINE cf_four cf_begin(v128_t four)
{
#if CF_PARTS == 1
    return (cf_four){{four}};
#else
    const v128_t none = wasm_i32x4_const_splat(0);
    return (cf_four){{wasm_i32x4_shuffle(four, none, 0, 4, 1, 5),
                      wasm_i32x4_shuffle(four, none, 2, 6, 3, 7)}};
#endif
}

/* Whether four products and their sum are one instruction of this machine. Where they are not, engines
 * make five of them, of which three are enough. They show it beyond what they promise: products of
 * two pairs of 127 and 255 are bounded to 16 bits then. */
CF_CALLED int cf_has_dot(void)
{
#if defined(CF_DOT) /* a test says so */
    return CF_DOT;
#elif CF_PARTS == 1
    volatile signed char all = -1;
    const v128_t sum = wasm_i32x4_relaxed_dot_i8x16_i7x16_add(
        wasm_i8x16_const_splat(127), wasm_i8x16_splat(all), wasm_i32x4_splat(all));
    const int found = wasm_i32x4_extract_lane(sum, 0) + 1;
    return found == 4 * 127 * 255 || found == -4 * 127;
#else
    return 0;
#endif
}

CF_INLINE void cf_dots(const int dot, cf_four *sum, cf_four x, cf_four w)
{
#if CF_PARTS == 1
    if (dot)
        sum->part[0] = wasm_i32x4_relaxed_dot_i8x16_i7x16_add(w.part[0], x.part[0], sum->part[0]);
    else
        sum->part[0] = wasm_i32x4_add(
            sum->part[0],
            wasm_i32x4_dot_i16x8(wasm_i16x8_relaxed_dot_i8x16_i7x16(w.part[0], x.part[0]),
                                 wasm_i16x8_const_splat(1)));
#else
    (void)dot;
    CF_UNROLL
    for (int i = 0; i < CF_PARTS; i++)
        sum->part[i] = wasm_i32x4_add(sum->part[i], wasm_i32x4_dot_i16x8(w.part[i], x.part[i]));
#endif
}

CF_INLINE v128_t cf_whole(cf_four sum)
{
#if CF_PARTS == 1
    return sum.part[0];
#else
    return wasm_i32x4_add(wasm_i32x4_shuffle(sum.part[0], sum.part[1], 0, 2, 4, 6),
                          wasm_i32x4_shuffle(sum.part[0], sum.part[1], 1, 3, 5, 7));
#endif
}

/* Parameters of up to 64 outputs in their order. There is no shift of each lane by another number:
 * what is bounded by 2^(15 + shift) is multiplied by 2^(16 - shift), and shifted by 16. */
typedef struct {
    cf_word bias[64], low[64], high[64], power[64];
    cf_short by[64], round[8];
    cf_byte table[256];
    int dot; /* cf_has_dot */
} cf_ready;

CF_INLINE void cf_make_ready(cf_ready *r, int n, cf_word bias, cf_word shift, cf_short by)
{
    r->bias[n] = bias;
    r->high[n] = (cf_word)((1u << (15 + shift)) - 1);
    r->low[n] = -r->high[n] - 1;
    r->power[n] = 1 << (16 - shift);
    r->by[n] = by;
}

/* Four sums, those of outputs n to n + 3, bounded to 16 bits each and still in 32. */
CF_INLINE v128_t cf_bounded(const cf_ready *r, int n, v128_t sum)
{
    sum = wasm_i32x4_min(sum, wasm_v128_load(r->high + n));
    sum = wasm_i32x4_max(sum, wasm_v128_load(r->low + n));
    return wasm_i32x4_shr(wasm_i32x4_mul(sum, wasm_v128_load(r->power + n)), 16);
}

/* (a b + 2^14) >> 15, of which not both are -32768. */
CF_INLINE v128_t cf_shares(v128_t a, v128_t b)
{
#if CF_PARTS == 1
    return wasm_i16x8_relaxed_q15mulr(a, b);
#else
    return wasm_i16x8_q15mulr_sat(a, b);
#endif
}
#endif
#endif
