/* The microkernel: sums of products for a tile of pixels and panels of 16 output channels.
 *
 *     y[p][o] = clip(bias[o] + sum over taps t and k of x[p * step + offset[t] + k] * w[t, k][o])
 *
 * Taps say where the inputs of the first pixel lie, so that one kernel serves every shape of
 * convolution. The sums stay in registers: as many as the level has, less a vector of weights for
 * each panel and one pixel that is broadcast. A panel's weights lie one behind the other; panels
 * are the same at every level. */
#ifndef CF_PIXELS
#if defined(__AVX512F__)
#define CF_PIXELS 14 /* 28 sums + 2 vectors of weights + 1 pixel of 32 registers */
#define CF_PANELS 2
#define CF_PICK(wide, middle, narrow, web, relaxed) wide
#elif defined(__AVX2__) || defined(__ARM_NEON)
#define CF_PIXELS 6 /* 12 + 2 + 1 of 16, 24 + 4 + 1 of 32 */
#define CF_PANELS 1
#define CF_PICK(wide, middle, narrow, web, relaxed) middle
#elif defined(__wasm_relaxed_simd__)
#define CF_PIXELS 6 /* 12 + 2 + 1 of the 15 that engines have for half a panel */
#define CF_PANELS 1
#define CF_PICK(wide, middle, narrow, web, relaxed) relaxed
#elif defined(__wasm__)
#define CF_PIXELS 5 /* 10 + 2 + 1, and 1 for products, which are no part of a sum here */
#define CF_PANELS 1
#define CF_PICK(wide, middle, narrow, web, relaxed) web
#else
#define CF_PIXELS 2 /* 8 + 4 + 1 of 16 */
#define CF_PANELS 1
#define CF_PICK(wide, middle, narrow, web, relaxed) narrow
#endif

/* Floats from the weights that are multiplied to those that are fetched into the second-level cache:
 * GoogLeNet takes 16.0 ms with it and 17.0 without, ResNet-18 16.4 and 16.5 (Zen 4, one thread). */
#define CF_WEIGHTS_AHEAD 16384

typedef struct {
    int offset, count; /* of neighbouring floats */
} cf_tap;

typedef struct {
    const cf_tap *taps;
    int taps_count;
    long weights; /* floats of one panel */
    long plane, pixel; /* floats from one panel of the output to the next, from pixel to pixel */
    float low, high;
} cf_sums;

typedef void cf_tile(const cf_sums *s, const float *x, const float *w, const float *bias,
                     const float *addend, float *y);

/* The first 8 channels of a panel, where the others are idle. */
#if CF_LANES == 16
typedef float cf_half __attribute__((vector_size(32)));
#define cf_half_max(a, b) (cf_half)_mm256_max_ps((__m256)(a), (__m256)(b))
#define cf_half_min(a, b) (cf_half)_mm256_min_ps((__m256)(a), (__m256)(b))
#else
typedef cf_vector cf_half;
#define cf_half_max cf_vector_max
#define cf_half_min cf_vector_min
#endif
#define CF_HALVES (32 / sizeof(cf_half))
/* Compilers to WebAssembly would rather compute the products of all pixels before any sum, and the
 * engines that translate it have not the registers: networks took twice as long. Nothing moves over
 * this, and it is no instruction. */
#if defined(__wasm__)
#define CF_KEEP(a, b) __asm__ volatile("" : "+r"(a), "+r"(b) : : "memory")
#else
#define CF_KEEP(a, b) ((void)0)
#endif

/* a b + c */
CF_INLINE cf_half cf_madd(float a, cf_half b, cf_half c)
{
#if defined(__wasm_relaxed_simd__)
    return (cf_half)wasm_f32x4_relaxed_madd(wasm_f32x4_splat(a), (v128_t)b, (v128_t)c);
#else
    return a * b + c;
#endif
}

CF_INLINE void cf_half_tile(const int pixels, const int step, const cf_sums *s,
                            const float *restrict x, const float *restrict w,
                            const float *restrict bias, const float *restrict addend,
                            float *restrict y)
{
    const unsigned lanes = sizeof(cf_half) / sizeof(float);
    cf_half sum[CF_PIXELS][CF_HALVES];
    CF_UNROLL
    for (unsigned v = 0; v < CF_HALVES; v++)
        CF_UNROLL
        for (unsigned p = 0; p < (unsigned)pixels; p++)
            sum[p][v] = *(const cf_half *)(const void *)(bias + v * lanes);
    for (const cf_tap *tap = s->taps, *end = tap + s->taps_count; tap < end; tap++) {
        const float *cell = x + tap->offset;
        for (int k = step < 16 ? 1 : tap->count; k > 0; k--, cell++, w += 16) {
            cf_half row[CF_HALVES];
            CF_UNROLL
            for (unsigned v = 0; v < CF_HALVES; v++)
                row[v] = *(const cf_half *)(const void *)(w + v * lanes);
            CF_UNROLL
            for (unsigned p = 0; p < (unsigned)pixels; p++) {
                CF_UNROLL
                for (unsigned v = 0; v < CF_HALVES; v++)
                    sum[p][v] = cf_madd(cell[p * (unsigned)step], row[v], sum[p][v]);
                CF_KEEP(sum[p][0], sum[p][CF_HALVES - 1]);
            }
        }
    }
    const cf_half none = {0}, low = s->low - none, high = s->high - none;
    const unsigned long pixel = (unsigned long)s->pixel;
    CF_UNROLL
    for (unsigned v = 0; v < CF_HALVES; v++) {
        if (addend)
            CF_UNROLL
            for (unsigned p = 0; p < (unsigned)pixels; p++)
                sum[p][v] += *(const cf_half *)(const void *)(addend + v * lanes + p * pixel);
        CF_UNROLL
        for (unsigned p = 0; p < (unsigned)pixels; p++)
            *(cf_half *)(void *)(y + v * lanes + p * pixel) =
                cf_half_min(high, cf_half_max(low, sum[p][v]));
    }
}

/* Weights that are read next, fetched into the second-level cache piece by piece while others are
 * multiplied. Where sums are long and weights follow each other, the machine does that by itself. */
typedef struct {
    const float *next;
    long floats; /* of a piece */
} cf_fetch;

CF_INLINE cf_fetch cf_fetch_begin(const float *weights, long floats, long pieces)
{
    return (cf_fetch){weights, pieces > 0 ? (floats / pieces + 16) & ~15L : 0};
}

CF_INLINE void cf_fetch_piece(cf_fetch *fetch)
{
    for (const float *end = fetch->next + fetch->floats; fetch->next < end; fetch->next += 16)
        __builtin_prefetch(fetch->next, 0, 2);
}

/* How a row of pixels is cut: into tiles of `pixels`, and one of what is left. */
typedef struct {
    cf_tile *whole, *rest;
    int pixels;
} cf_cut;

/* The tile for the next pixels of `left`; gives how many it computes. */
CF_INLINE int cf_next_tile(const cf_cut *cut, int left, cf_tile **tile)
{
    *tile = left < cut->pixels ? cut->rest : cut->whole;
    return left < cut->pixels ? left : cut->pixels;
}

/* `addend`, if any, lies like y and is added before the clip. */
CF_INLINE void cf_sum_tile(const int pixels, const int panels, const int step, const cf_sums *s,
                           const float *restrict x, const float *restrict w,
                           const float *restrict bias, const float *restrict addend,
                           float *restrict y)
{
#if defined(__wasm__)
    /* Two halves: with four vectors a pixel the sums of enough pixels have no registers. */
    for (int n = 0; n < panels * 16; n += 8)
        cf_half_tile(pixels, step, s, x, w + n, bias + n, addend ? addend + n : NULL, y + n);
#else
    cf_vector sum[CF_PIXELS][CF_PANELS * CF_VECTORS];
    const long weights = s->weights;
    CF_UNROLL
    for (int v = 0; v < panels * CF_VECTORS; v++)
        CF_UNROLL
        for (int p = 0; p < pixels; p++)
            sum[p][v] = cf_load(bias + v * CF_LANES);
    for (const cf_tap *tap = s->taps, *end = tap + s->taps_count; tap < end; tap++) {
        const float *cell = x + tap->offset;
        /* Taps of a planar map are one float each: a loop of so few rounds costs as much. */
        for (int k = step < 16 ? 1 : tap->count; k > 0; k--, cell++, w += 16) {
            cf_vector row[CF_PANELS * CF_VECTORS];
            CF_UNROLL
            for (int v = 0; v < panels * CF_VECTORS; v++)
                row[v] = cf_load(w + v / CF_VECTORS * weights + v % CF_VECTORS * CF_LANES);
            CF_UNROLL
            for (int n = 0; n < panels; n++)
                __builtin_prefetch(w + n * weights + CF_WEIGHTS_AHEAD, 0, 2);
            CF_UNROLL
            for (int p = 0; p < pixels; p++)
                CF_UNROLL
                for (int v = 0; v < panels * CF_VECTORS; v++)
                    sum[p][v] += cell[p * step] * row[v];
        }
    }
    const cf_vector low = cf_every(s->low), high = cf_every(s->high);
    const long pixel = s->pixel;
    CF_UNROLL
    for (int v = 0; v < panels * CF_VECTORS; v++) {
        const long at = v / CF_VECTORS * s->plane + v % CF_VECTORS * CF_LANES;
        if (addend)
            CF_UNROLL
            for (int p = 0; p < pixels; p++)
                sum[p][v] += cf_load(addend + at + p * pixel);
        CF_UNROLL
        for (int p = 0; p < pixels; p++)
            cf_store(y + at + p * pixel, cf_vector_min(high, cf_vector_max(low, sum[p][v])));
    }
#endif
}

/* A tile's function, by its panels, pixels and step. Only those that a network calls are made. */
#define CF_TILE(panels, pixels, step)                                                              \
    CF_CALLED void cf_tile_##panels##_##pixels##_##step(                                           \
        const cf_sums *s, const float *x, const float *w, const float *bias, const float *addend,  \
        float *y)                                                                                  \
    {                                                                                              \
        cf_sum_tile(pixels, panels, step, s, x, w, bias, addend, y);                               \
    }
/* Steps of strides 1 to 4, on planar maps and on blocked ones. */
#define CF_EVERY_STEP(make, panels, pixels)                                                        \
    make(panels, pixels, 1) make(panels, pixels, 2) make(panels, pixels, 3)                        \
        make(panels, pixels, 4) make(panels, pixels, 16) make(panels, pixels, 32)                  \
            make(panels, pixels, 48) make(panels, pixels, 64)
#define CF_HALF_TILE(name, pixels, step)                                                           \
    CF_CALLED void cf_tile_##name##_##pixels##_##step(                                             \
        const cf_sums *s, const float *x, const float *w, const float *bias, const float *addend,  \
        float *y)                                                                                  \
    {                                                                                              \
        cf_half_tile(pixels, step, s, x, w, bias, addend, y);                                      \
    }
#define CF_HALVES_OF(pixels) CF_EVERY_STEP(CF_HALF_TILE, half, pixels)
#define CF_CUT_OF(kind, pixels, rest, step)                                                        \
    {                                                                                              \
        cf_tile_##kind##_##pixels##_##step, cf_tile_##kind##_##rest##_##step, pixels               \
    }
#define CF_CUT(kind, pixels, rest, step) CF_CUT_OF(kind, pixels, rest, step)
#if CF_PANELS > 1
#define CF_TILES_OF(pixels) CF_EVERY_STEP(CF_TILE, 1, pixels) CF_EVERY_STEP(CF_TILE, 2, pixels)
#define CF_CUTS(pixels, rest, step)                                                                \
    {                                                                                              \
        CF_CUT(1, pixels, rest, step), CF_CUT(2, pixels, rest, step)                               \
    }
#else
#define CF_TILES_OF(pixels) CF_EVERY_STEP(CF_TILE, 1, pixels)
#define CF_CUTS(pixels, rest, step)                                                                \
    {                                                                                              \
        CF_CUT(1, pixels, rest, step)                                                              \
    }
#endif

/* All sizes that a level has. */
#if CF_PIXELS == 14
#define CF_EVERY_SIZE(make)                                                                        \
    make(1) make(2) make(3) make(4) make(5) make(6) make(7) make(8) make(9) make(10) make(11)      \
        make(12) make(13) make(14)
#elif CF_PIXELS == 5
#define CF_EVERY_SIZE(make) make(1) make(2) make(3) make(4) make(5)
#elif CF_PIXELS == 6
#define CF_EVERY_SIZE(make) make(1) make(2) make(3) make(4) make(5) make(6)
#else
#define CF_EVERY_SIZE(make) make(1) make(2)
#endif
CF_EVERY_SIZE(CF_TILES_OF)
CF_EVERY_SIZE(CF_HALVES_OF)
#endif

