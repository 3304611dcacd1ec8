/* A convolution and the depthwise one that reads it, without the map between them.
 *
 * A unit is a strip of output rows of two blocks of 16 channels. The rows of the map between that it
 * reads are computed into the workspace, [block][row][column][16] with their border of zeros, and
 * stay in a near cache until the filters have read them. Strips of a block are neighbours: the rows
 * that the next one reads too are moved, not computed again. */
#ifndef CF_PAIR
#define CF_PAIR
typedef struct {
    cf_sums mix, filter;
    cf_cut mix_tiles[CF_PANELS], filter_tiles;
    void (*mix_finish)(float *y, int n), (*filter_finish)(float *y, int n);
    int mix_step;         /* floats from what one pixel reads to what the next one reads */
    int panels;           /* blocks of the output */
    int height, width;    /* of the map between */
    int rows, columns;    /* of the output */
    int strip;            /* rows of a unit */
    int top, left;        /* zeros before the map between */
    int stride_height, stride_width;
    int lines, line;      /* of the workspace: rows that a strip reads, cells of one */
    int copies;           /* whether the map that is read is copied as `border` says */
    long pitch, copied;   /* floats from row to row of it; those of the workspace before the copy */
    cf_border border;
} cf_pair;

CF_INLINE void cf_zero_cells(float *y, int cells)
{
    for (int i = 0; i < cells * 16; i += CF_LANES) {
        cf_store(y + i, cf_every(0.0f));
#if defined(__wasm__)
        __asm__ volatile("" : : : "memory"); /* as in cf_fill */
#endif
    }
}

/* A row of the map between of `panels` blocks, from what its first pixel reads; x NULL: zeros. */
CF_INLINE void cf_pair_mix(const cf_pair *c, const int panels, const float *x, const float *w,
                           const float *bias, cf_fetch *fetch, float *y)
{
    const long plane = c->mix.plane;
    const int right = c->line - c->left - c->width;
    for (int n = 0; n < panels; n++) {
        cf_zero_cells(y + n * plane, x ? c->left : c->line);
        if (x)
            cf_zero_cells(y + n * plane + (c->left + c->width) * 16, right);
    }
    if (!x)
        return;
    for (int column = 0; column < c->width;) {
        cf_tile *tile;
        const int pixels = cf_next_tile(&c->mix_tiles[panels - 1], c->width - column, &tile);
        float *to = y + (c->left + column) * 16;
        cf_fetch_piece(fetch);
        tile(&c->mix, x + (long)column * c->mix_step, w, bias, NULL, to);
        if (c->mix_finish)
            for (int n = 0; n < panels; n++)
                c->mix_finish(to + n * plane, pixels * 16);
        column += pixels;
    }
}

/* One row of one block of the output. */
CF_INLINE void cf_pair_filter(const cf_pair *c, const float *x, const float *w, const float *bias,
                              float *y)
{
#if defined(__wasm__)
    if (cf_depthwise_whole_row(&c->filter, c->stride_width * 16, x, w, bias, c->columns, y)) {
        if (c->filter_finish)
            c->filter_finish(y, c->columns * 16);
        return;
    }
#endif
    for (int column = 0; column < c->columns;) {
        cf_tile *tile;
        const int pixels = cf_next_tile(&c->filter_tiles, c->columns - column, &tile);
        tile(&c->filter, x + column * c->stride_width * 16L, w, bias, NULL, y + column * 16L);
        if (c->filter_finish)
            c->filter_finish(y + column * 16L, pixels * 16);
        column += pixels;
    }
}

#if defined(__wasm__)
/* Tiles of one block whose pixels follow each other, from pixel `first` on. One that goes over the
 * end of a row is computed apart and copied. */
#define CF_MIX_TILES(pixels)                                                                       \
    CF_CALLED void cf_mix_tiles_##pixels(const cf_pair *c, const float *x, const float *w,         \
                                         const float *bias, int first, int tiles, float *y)        \
    {                                                                                              \
        for (int n = 0; n < 16; n += 8) {                                                          \
            float *row = y + n + (long)(first / c->width) * c->line * 16;                          \
            int column = first % c->width;                                                         \
            const float *from = x + first * 16L;                                                   \
            for (int i = 0; i < tiles; i++, from += pixels * 16) {                                 \
                float apart[pixels * 16] __attribute__((aligned(16)));                             \
                const int inside = c->width - column;                                              \
                float *to = row + column * 16;                                                     \
                cf_half_tile(pixels, 16, &c->mix, from, w + n, bias + n, NULL,                     \
                             inside < pixels ? apart : to);                                        \
                column += pixels;                                                                  \
                if (inside > pixels)                                                               \
                    continue;                                                                      \
                column -= c->width;                                                                \
                row += c->line * 16L;                                                              \
                for (int p = 0; p < pixels && inside < pixels; p++)                                \
                    cf_copy_half(apart + p * 16,                                                   \
                                 p < inside ? to + p * 16 : row + (p - inside) * 16);              \
            }                                                                                      \
        }                                                                                          \
    }

CF_INLINE void cf_copy_half(const float *x, float *y)
{
    cf_store(y, cf_load(x));
    cf_store(y + CF_LANES, cf_load(x + CF_LANES));
}

#define CF_MIX_NAME(pixels) cf_mix_tiles_##pixels,
CF_EVERY_SIZE(CF_MIX_TILES)

/* `pixels` of one block, in tiles as even as can be. */
CF_INLINE void cf_mix_pixels(const cf_pair *c, int pixels, const float *x, const float *w,
                             const float *bias, float *y)
{
    typedef void run(const cf_pair *c, const float *x, const float *w, const float *bias, int first,
                     int tiles, float *y);
    static run *const runs[] = {NULL, CF_EVERY_SIZE(CF_MIX_NAME)};
    const int tiles = (pixels + CF_PIXELS - 1) / CF_PIXELS, size = pixels / tiles;
    const int larger = pixels % tiles;
    if (larger)
        runs[size + 1](c, x, w, bias, 0, larger, y);
    runs[size](c, x, w, bias, larger * (size + 1), tiles - larger, y);
}

#define CF_SHORT_ROW 16 /* pixels; tiles go over the ends of such rows */

/* What cf_pair_rows does, where the first convolution reads its map where it lies. */
CF_INLINE void cf_pair_runs(const cf_pair *c, const int panels, int above, int from, int to,
                            int end, const float *x, const float *w, const float *bias, float *work)
{
    const long line = c->line * 16L;
    const int right = c->left + c->width;
    for (int n = 0; n < panels; n++)
        for (int i = from; i < to; i++) {
            float *y = work + n * c->mix.plane + i * line;
            const int pixels = i >= above && i < end;
            cf_zero_cells(y, pixels ? c->left : c->line);
            cf_zero_cells(y + right * 16L, pixels ? c->line - right : 0);
        }
    const int flat = c->pitch == c->width * 16L && c->width <= CF_SHORT_ROW && c->width >= CF_PIXELS;
    const int rows = flat && end > above ? end - above : 1;
    for (int n = 0; n < panels; n++)
        for (int i = above; i < end; i += rows) {
            float *y = work + n * c->mix.plane + i * line + c->left * 16;
            cf_mix_pixels(c, rows * c->width, x + (i - above) * c->pitch, w + n * c->mix.weights,
                          bias + n * 16L, y);
            for (int r = 0; r < rows && c->mix_finish; r++)
                c->mix_finish(y + r * line, c->width * 16);
        }
}
#endif

/* Rows `from` to `to` - 1 of the workspace, of which row 0 is row `start` of the map between. */
CF_INLINE void cf_pair_rows(const cf_pair *c, const int panels, int start, int from, int to,
                            const float *x, const float *w, const float *bias, float *work)
{
    const int above = -start > from ? -start : from, below = c->height - start;
    const int end = below < to ? below : to;
    if (c->copies && above < end)
        cf_copy_rows(&c->border, start + above, end - above, c->lines, x, work + c->copied);
#if defined(__wasm__)
    if (c->mix_step == 16 && !c->copies) {
        cf_pair_runs(c, panels, above, from, to, end, x + (start + above) * c->pitch, w, bias, work);
        return;
    }
#endif
    const int most = c->mix_tiles[0].pixels, tiles = (c->width + most - 1) / most;
    const long weights = 2 * c->mix.weights, pieces = (long)(to - from) * tiles;
    cf_fetch fetch = cf_fetch_begin(w + weights, weights, pieces);
    for (int i = from; i < to; i++) {
        const float *row = NULL;
        if (i >= above && i < end)
            row = c->copies ? work + c->copied + (i - above) * c->pitch : x + (start + i) * c->pitch;
        float *y = work + (long)i * c->line * 16;
#if CF_PANELS > 1
        if (panels == 2) {
            cf_pair_mix(c, 2, row, w, bias, &fetch, y);
            continue;
        }
#endif
        for (int n = 0; n < panels; n++)
            cf_pair_mix(c, 1, row, w + n * c->mix.weights, bias + n * 16L, &fetch,
                        y + n * c->mix.plane);
    }
}

/* Units `begin` to `end` - 1. */
CF_CALLED void cf_pair_units(const cf_pair *c, const float *x, const float *w0, const float *b0,
                             const float *w1, const float *b1, float *work, float *y, int begin,
                             int end)
{
    const int strips = (c->rows + c->strip - 1) / c->strip;
    const long line = c->line * 16L;
    int known = 0, from = 0; /* rows of the map between that are there, the first of them */
    for (int unit = begin; unit < end; unit++) {
        const int panel = unit / strips * 2, first = unit % strips * c->strip;
        const int panels = c->panels - panel < 2 ? 1 : 2;
        const int rows = c->rows - first < c->strip ? c->rows - first : c->strip;
        const int start = first * c->stride_height - c->top;
        const int lines = c->lines - (c->strip - rows) * c->stride_height;
        known = first == 0 || unit == begin ? 0 : from + known - start;
        known = known < 0 ? 0 : known;
        for (int n = 0; n < panels && known; n++)
            memmove(work + n * c->mix.plane, work + n * c->mix.plane + (start - from) * line,
                    (size_t)(known * line) * sizeof(float));
        cf_pair_rows(c, panels, start, known, lines, x, w0 + panel * c->mix.weights,
                     b0 + panel * 16L, work);
        from = start;
        known = lines;
        for (int n = 0; n < panels; n++)
            for (int r = 0; r < rows; r++)
                cf_pair_filter(c, work + n * c->mix.plane + r * c->stride_height * line,
                               w1 + (panel + n) * c->filter.weights, b1 + (panel + n) * 16L,
                               y + ((long)(panel + n) * c->rows + first + r) * c->columns * 16);
    }
}
#endif

