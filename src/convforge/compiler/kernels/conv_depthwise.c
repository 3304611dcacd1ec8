/* Depthwise convolutions: tiles of pixels of one block of 16 channels, a product a tap and lane. */
#ifndef CF_DEPTHWISE
#define CF_DEPTHWISE
#if defined(__wasm__)
#define CF_TOGETHER 2 /* vectors of a block */
#else
#define CF_TOGETHER CF_VECTORS
#endif

CF_INLINE void cf_depthwise_tile(const int pixels, const int step, const cf_sums *s,
                                 const float *restrict x, const float *restrict w,
                                 const float *restrict bias, float *restrict y)
{
    const cf_vector low = cf_every(s->low), high = cf_every(s->high);
    /* Where a block has many vectors, the sums of all of them have no registers. */
    for (int from = 0; from < CF_VECTORS; from += CF_TOGETHER) {
        cf_vector sum[CF_PIXELS][CF_TOGETHER];
        const float *cells = x + from * CF_LANES, *taps = w + from * CF_LANES;
        CF_UNROLL
        for (int v = 0; v < CF_TOGETHER; v++)
            CF_UNROLL
            for (int p = 0; p < pixels; p++)
                sum[p][v] = cf_load(bias + (from + v) * CF_LANES);
        for (int t = 0; t < s->taps_count; t++, taps += 16) {
            const float *cell = cells + s->taps[t].offset;
            cf_vector row[CF_TOGETHER];
            CF_UNROLL
            for (unsigned v = 0; v < CF_TOGETHER; v++)
                row[v] = cf_load(taps + v * CF_LANES);
            CF_UNROLL
            for (unsigned p = 0; p < (unsigned)pixels; p++) {
                CF_UNROLL
                for (unsigned v = 0; v < CF_TOGETHER; v++)
                    sum[p][v] = cf_vector_madd(cf_load(cell + p * (unsigned)step + v * CF_LANES),
                                               row[v], sum[p][v]);
                CF_KEEP(sum[p][0], sum[p][CF_TOGETHER - 1]);
            }
        }
        CF_UNROLL
        for (int v = 0; v < CF_TOGETHER; v++)
            CF_UNROLL
            for (int p = 0; p < pixels; p++)
                cf_store(y + p * 16 + (from + v) * CF_LANES,
                         cf_vector_min(high, cf_vector_max(low, sum[p][v])));
    }
}

/* Neighbouring outputs read cells that are `step` floats apart. */
#define CF_DEPTHWISE_TILE(pixels, step)                                                            \
    CF_CALLED void cf_tile_depthwise_##pixels##_##step(                                            \
        const cf_sums *s, const float *x, const float *w, const float *bias, const float *addend,  \
        float *y)                                                                                  \
    {                                                                                              \
        (void)addend;                                                                              \
        cf_depthwise_tile(pixels, step, s, x, w, bias, y);                                         \
    }
#define CF_DEPTHWISE_TILES_OF(pixels)                                                              \
    CF_DEPTHWISE_TILE(pixels, 16) CF_DEPTHWISE_TILE(pixels, 32) CF_DEPTHWISE_TILE(pixels, 48)      \
        CF_DEPTHWISE_TILE(pixels, 64)
CF_EVERY_SIZE(CF_DEPTHWISE_TILES_OF)

/* Units `begin` to `end` - 1: the chunks of a block are neighbours. */
CF_CALLED void cf_depthwise_units(const cf_conv *c, const float *x, const float *w,
                                  const float *bias, float *work, float *y, int begin, int end)
{
    const int chunks = (c->rows + c->chunk - 1) / c->chunk;
    const cf_border *b = &c->border;
    for (int unit = begin; unit < end; unit++) {
        const int first = unit % chunks * c->chunk, block = unit / chunks;
        const int rows = c->rows - first < c->chunk ? c->rows - first : c->chunk;
        const float *map = x + (long)block * b->height * b->width * 16;
        const float *from = map + first * c->pitch;
        if (work) {
            cf_copy_rows(b, first, rows, c->chunk, map, work);
            from = work;
        }
        cf_conv_rows(c, &c->tiles[0], 1, rows, from, w + block * c->sums.weights, bias + block * 16L, NULL,
                     y + block * c->sums.plane + (long)first * c->columns * 16);
    }
}
#endif

