/* Convolutions of bf16: tiles of pixels and of units of 32 outputs, a whole block. */
#ifndef CF_CONV_BF16
#define CF_CONV_BF16
/* What a word of each pixel adds to the sums. */
CF_INLINE void cf_add_pairs(const int pixels, const int vectors, const int step,
                            const float *restrict cell, const float *restrict w,
                            cf_vector (*sum)[CF_PANELS * CF_VECTORS])
{
#ifdef CF_PAIR_PRODUCTS
    cf_ints row[CF_PANELS * CF_VECTORS];
    CF_UNROLL
    for (int v = 0; v < vectors; v++)
        row[v] = cf_load_ints(w + v * CF_LANES);
    CF_UNROLL
    for (int p = 0; p < pixels; p++) {
        const cf_ints pair = cf_each(*(const cf_word *)(const void *)(cell + p * step));
        CF_UNROLL
        for (int v = 0; v < vectors; v++)
            sum[p][v] = cf_dot_pairs(sum[p][v], pair, row[v]);
    }
#else
    /* One after the other: the sums leave registers for one of them. */
    CF_UNROLL
    for (int second = 0; second < 2; second++) {
        cf_vector row[CF_PANELS * CF_VECTORS];
        CF_UNROLL
        for (int v = 0; v < vectors; v++) {
            const cf_ints both = cf_load_ints(w + v * CF_LANES);
            row[v] = second ? cf_second(both) : cf_first(both);
        }
        CF_UNROLL
        for (int p = 0; p < pixels; p++) {
            const cf_ints pair = cf_each(*(const cf_word *)(const void *)(cell + p * step));
            const cf_vector value = second ? cf_second(pair) : cf_first(pair);
            CF_UNROLL
            for (int v = 0; v < vectors; v++)
                sum[p][v] = cf_vector_madd(value, row[v], sum[p][v]);
        }
    }
#endif
}

/* `panels` vectors of 16 outputs, as many at a time as have registers. */
CF_INLINE void cf_bf16_tile(const int pixels, const int panels, const int step, const cf_sums *s,
                            const float *restrict x, const float *restrict w,
                            const float *restrict bias, const float *restrict addend,
                            float *restrict y)
{
    const cf_bf16 *q = (const void *)s;
    const cf_vector low = cf_every(s->low), high = cf_every(s->high);
    const int together = panels < CF_PANELS ? panels : CF_PANELS, vectors = together * CF_VECTORS;
    CF_UNROLL
    for (int from = 0; from < panels; from += together) {
        cf_vector sum[CF_PIXELS][CF_PANELS * CF_VECTORS];
        CF_UNROLL
        for (int v = 0; v < vectors; v++)
            CF_UNROLL
            for (int p = 0; p < pixels; p++)
                sum[p][v] = cf_load(bias + from * 16 + v * CF_LANES);
        const float *row = w + from * 16;
        for (const cf_tap *tap = s->taps, *end = tap + s->taps_count; tap < end; tap++) {
            const float *cell = x + tap->offset;
            /* Up to four channels are two words. */
            for (int k = step < 16 ? 2 : tap->count; k > 0; k--, cell++, row += 16 * panels) {
                CF_UNROLL
                for (int n = 0; n < together; n++)
                    __builtin_prefetch(row + n * 16 + CF_WEIGHTS_AHEAD / 2, 0, 2);
                cf_add_pairs(pixels, vectors, step, cell, row, sum);
            }
        }
        CF_UNROLL
        for (int p = 0; p < pixels; p++)
            CF_UNROLL
            for (int v = 0; v < vectors; v++) {
                if (addend)
                    sum[p][v] += cf_load_bf16(addend + p * 16 + (from * 16 + v * CF_LANES) / 2);
                sum[p][v] = cf_vector_min(high, cf_vector_max(low, sum[p][v]));
            }
        if (q->finish) {
            float all[CF_PIXELS * CF_PANELS * 16] __attribute__((aligned(64)));
            CF_UNROLL
            for (int p = 0; p < pixels; p++)
                CF_UNROLL
                for (int v = 0; v < vectors; v++)
                    cf_store(all + (p * vectors + v) * CF_LANES, sum[p][v]);
            q->finish(all, pixels * vectors * CF_LANES);
            CF_UNROLL
            for (int p = 0; p < pixels; p++)
                CF_UNROLL
                for (int v = 0; v < vectors; v++)
                    sum[p][v] = cf_load(all + (p * vectors + v) * CF_LANES);
        }
        CF_UNROLL
        for (int p = 0; p < pixels; p++) {
            float *to = y + p * 16 + from * 8;
            if (together == 2) {
                cf_store_bf16_block(to, sum[p]);
                continue;
            }
            CF_UNROLL
            for (int v = 0; v < vectors; v++)
                cf_store_bf16(to + v * CF_LANES / 2, sum[p][v]);
        }
    }
}

#define CF_BF16_TILE(panels, pixels, step)                                                         \
    CF_CALLED void cf_tile_bf16_##panels##_##pixels##_##step(                                      \
        const cf_sums *s, const float *x, const float *w, const float *bias, const float *addend,  \
        float *y)                                                                                  \
    {                                                                                              \
        cf_bf16_tile(pixels, panels, step, s, x, w, bias, addend, y);                              \
    }
/* Steps of strides 1 to 4, on pictures of two words a pixel and on blocks. */
#define CF_BF16_STEPS(panels, pixels)                                                              \
    CF_BF16_TILE(panels, pixels, 2) CF_BF16_TILE(panels, pixels, 4)                                \
        CF_BF16_TILE(panels, pixels, 6) CF_BF16_TILE(panels, pixels, 8)                            \
            CF_BF16_TILE(panels, pixels, 16) CF_BF16_TILE(panels, pixels, 32)                      \
                CF_BF16_TILE(panels, pixels, 48) CF_BF16_TILE(panels, pixels, 64)
#define CF_BF16_TILES_OF(pixels) CF_BF16_STEPS(1, pixels) CF_BF16_STEPS(2, pixels)
CF_EVERY_SIZE(CF_BF16_TILES_OF)
#endif

