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

#if defined(__wasm__)
/* Filters of three neighbours in three rows: a vector of channels at a time, so that its weights
 * stay in registers for a whole row. The last pixels of a row may be computed twice. MobileNetV2
 * takes 13.5 ms, with tiles of both vectors 14.1 (Chromium, Zen 4). */
#define CF_ROW_PIXELS 4

CF_INLINE void cf_depthwise_cells(const int pixels, const int step, const float *above,
                                  const float *here, const float *below,
                                  const cf_vector weights[9], cf_vector start, const cf_sums *s,
                                  float *y)
{
    const float *const cells[3] = {above, here, below};
    cf_vector sum[CF_ROW_PIXELS] = {start, start, start, start};
    CF_UNROLL
    for (unsigned t = 0; t < 9; t++) {
        CF_UNROLL
        for (unsigned p = 0; p < (unsigned)pixels; p++)
            sum[p] = cf_vector_madd(cf_load(cells[t / 3] + t % 3 * 16 + p * (unsigned)step),
                                    weights[t], sum[p]);
        if (pixels > 1)
            __asm__ volatile("" : "+r"(sum[0]), "+r"(sum[1]), "+r"(sum[2]), "+r"(sum[3]) : : "memory");
    }
    const cf_vector low = cf_every(s->low), high = cf_every(s->high);
    CF_UNROLL
    for (unsigned p = 0; p < (unsigned)pixels; p++)
        cf_store(y + p * 16, cf_vector_min(high, cf_vector_max(low, sum[p])));
}

CF_INLINE void cf_depthwise_row(const int step, const cf_sums *s, const float *x, const float *w,
                                const float *bias, int columns, float *y)
{
    for (int from = 0; from < 16; from += CF_LANES) {
        cf_vector weights[9];
        CF_UNROLL
        for (int t = 0; t < 9; t++)
            weights[t] = cf_load(w + t * 16 + from);
        const cf_vector start = cf_load(bias + from);
        const float *above = x + from + s->taps[0].offset, *here = x + from + s->taps[3].offset;
        const float *below = x + from + s->taps[6].offset;
        float *to = y + from;
        int left = columns;
        for (; left >= CF_ROW_PIXELS; left -= CF_ROW_PIXELS) {
            cf_depthwise_cells(CF_ROW_PIXELS, step, above, here, below, weights, start, s, to);
            above += CF_ROW_PIXELS * step;
            here += CF_ROW_PIXELS * step;
            below += CF_ROW_PIXELS * step;
            to += CF_ROW_PIXELS * 16;
        }
        if (left > 0 && columns >= CF_ROW_PIXELS) {
            const int back = CF_ROW_PIXELS - left;
            cf_depthwise_cells(CF_ROW_PIXELS, step, above - back * step, here - back * step,
                               below - back * step, weights, start, s, to - back * 16);
            left = 0;
        }
        for (; left > 0; left--) {
            cf_depthwise_cells(1, step, above, here, below, weights, start, s, to);
            above += step;
            here += step;
            below += step;
            to += 16;
        }
    }
}

#define CF_ROW_PART 32 /* pixels, whose rows stay in the first-level cache for all vectors */

#define CF_DEPTHWISE_ROW(step)                                                                     \
    CF_CALLED void cf_depthwise_row_##step(const cf_sums *s, const float *x, const float *w,       \
                                           const float *bias, int columns, float *y)               \
    {                                                                                              \
        for (; columns >= 2 * CF_ROW_PART; columns -= CF_ROW_PART) {                               \
            cf_depthwise_row(step, s, x, w, bias, CF_ROW_PART, y);                                 \
            x += CF_ROW_PART * step;                                                               \
            y += CF_ROW_PART * 16;                                                                 \
        }                                                                                          \
        cf_depthwise_row(step, s, x, w, bias, columns, y);                                         \
    }
CF_DEPTHWISE_ROW(16)
CF_DEPTHWISE_ROW(32)

/* A row of the output, where there is a function for such filters; whether there is. */
CF_INLINE int cf_depthwise_whole_row(const cf_sums *s, int step, const float *x, const float *w,
                                     const float *bias, int columns, float *y)
{
    const cf_tap *t = s->taps;
    if (s->taps_count != 9 || (step != 16 && step != 32))
        return 0;
    for (int r = 0; r < 9; r += 3)
        if (t[r + 1].offset != t[r].offset + 16 || t[r + 2].offset != t[r].offset + 32)
            return 0;
    (step == 16 ? cf_depthwise_row_16 : cf_depthwise_row_32)(s, x, w, bias, columns, y);
    return 1;
}
#endif

/* Rows of one block of the output. */
CF_INLINE void cf_depthwise_rows(const cf_conv *c, int rows, const float *x, const float *w,
                                 const float *bias, float *y)
{
#if defined(__wasm__)
    int row = 0;
    for (; row < rows; row++) {
        float *to = y + (long)row * c->columns * 16;
        if (!cf_depthwise_whole_row(&c->sums, c->step, x + row * c->pitch, w, bias, c->columns, to))
            break;
        if (c->finish)
            c->finish(to, c->columns * 16);
    }
    if (row > 0)
        return;
#endif
    cf_conv_rows(c, &c->tiles[0], 1, rows, x, w, bias, NULL, y);
}

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
        cf_depthwise_rows(c, rows, from, w + block * c->sums.weights, bias + block * 16L,
                          y + block * c->sums.plane + (long)first * c->columns * 16);
    }
}
#endif

