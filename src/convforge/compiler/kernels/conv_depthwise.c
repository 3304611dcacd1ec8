/* Depthwise convolutions: tiles of pixels of one block of 16 channels, a product a tap and lane. */
#ifndef CF_DEPTHWISE
CF_INLINE void cf_depthwise_tile(const int pixels, const int step, const cf_sums *s,
                                 const float *restrict x, const float *restrict w,
                                 const float *restrict bias, float *restrict y)
{
    cf_vector sum[CF_PIXELS][CF_VECTORS];
    CF_UNROLL
    for (int v = 0; v < CF_VECTORS; v++)
        CF_UNROLL
        for (int p = 0; p < pixels; p++)
            sum[p][v] = cf_load(bias + v * CF_LANES);
    for (int t = 0; t < s->taps_count; t++, w += 16) {
        const float *cell = x + s->taps[t].offset;
        CF_UNROLL
        for (int v = 0; v < CF_VECTORS; v++) {
            const cf_vector tap = cf_load(w + v * CF_LANES);
            CF_UNROLL
            for (int p = 0; p < pixels; p++)
                sum[p][v] += cf_load(cell + p * step + v * CF_LANES) * tap;
        }
    }
    const cf_vector low = cf_every(s->low), high = cf_every(s->high);
    CF_UNROLL
    for (int v = 0; v < CF_VECTORS; v++)
        CF_UNROLL
        for (int p = 0; p < pixels; p++)
            cf_store(y + p * 16 + v * CF_LANES,
                     cf_vector_min(high, cf_vector_max(low, sum[p][v])));
}

/* Neighbouring outputs read cells that are `step` floats apart. */
#define CF_DEPTHWISE_TILE(pixels, step)                                                            \
    CF_CALLED void cf_depthwise_tile_##pixels##_##step(                                            \
        const cf_sums *s, const float *x, const float *w, const float *bias, const float *addend,  \
        float *y)                                                                                  \
    {                                                                                              \
        (void)addend;                                                                              \
        cf_depthwise_tile(pixels, step, s, x, w, bias, y);                                         \
    }
#define CF_DEPTHWISE_TILES_OF(pixels)                                                              \
    CF_DEPTHWISE_TILE(pixels, 16) CF_DEPTHWISE_TILE(pixels, 32) CF_DEPTHWISE_TILE(pixels, 48)      \
        CF_DEPTHWISE_TILE(pixels, 64)
#define CF_DEPTHWISE_NAME(pixels, step) cf_depthwise_tile_##pixels##_##step
#define CF_DEPTHWISE(pixels, step) CF_DEPTHWISE_NAME(pixels, step)
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
        cf_conv_rows(c, c->tiles[0], 1, rows, from, w + block * c->sums.weights, bias + block * 16L, NULL,
                     y + block * c->sums.plane + (long)first * c->columns * 16);
    }
}
#endif

