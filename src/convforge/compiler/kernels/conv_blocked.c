/* Convolutions on blocks of 16 channels, [C / 16][H][W][16], made of the microkernel's tiles.
 *
 * The output is cut into chunks of rows, and a chunk into panels, by twos where that saves: one
 * unit each. A padded map is copied chunk by chunk into the workspace, [block][row][column][lane]
 * with its border of zeros, where it stays in the second-level cache while all panels read it. */
#ifndef CF_CONV
#define CF_CONV
typedef struct {
    int blocks, lanes; /* of the map that is read: 16 channels a block, or 1 where it is planar */
    int height, width, top, left;
    int stride, span; /* rows from one output row to the next, rows that one of them reads */
    int columns;      /* of one line in the workspace */
    int fill;         /* every byte of the border */
} cf_border;

typedef struct {
    cf_sums sums;
    cf_cut tiles[CF_PANELS]; /* of one panel, of two */
    cf_cut half;             /* of the last panel where no channel has its second half */
    void (*finish)(float *y, int n); /* what of the epilogue the microkernel does not do, or NULL */
    int step;                        /* floats from what one pixel reads to what the next reads */
    int panels, rows, columns, chunk; /* of the output; `chunk` rows are computed together */
    long pitch;                      /* floats from what one row reads to what the next one reads */
    int width;                       /* panels of a unit: two, or one where groups are narrow */
    const int *first;                /* for each unit of a chunk, where its inputs begin; or NULL */
    cf_border border;
} cf_conv;

/* Sets `n` floats to bytes of `fill`. In WebAssembly by a loop that compilers do not take for
 * memset's: for that engines leave the module, and MobileNetV2 took 1.6 % longer (Chromium, Zen 4). */
#if defined(__wasm__)
CF_INLINE void cf_fill(float *y, long n, int fill)
{
    const int bits = fill * 0x01010101;
    for (long i = 0; i < n; i++) {
        memcpy(y + i, &bits, sizeof bits);
        __asm__ volatile("" : : : "memory");
    }
}
#else
#define cf_fill(y, n, fill) memset(y, fill, (size_t)(n) * sizeof(float))
#endif

/* The rows that a chunk of the output reads, from output row `first` on. */
CF_CALLED void cf_copy_rows(const cf_border *b, int first, int rows, int chunk, const float *x,
                            float *work)
{
    const long line = (long)b->columns * b->lanes, left = (long)b->left * b->lanes;
    const long inside = (long)b->width * b->lanes;
    const long block = ((chunk - 1) * b->stride + b->span) * line;
    const int lines = (rows - 1) * b->stride + b->span;
    for (int n = 0; n < b->blocks; n++)
        for (int i = 0; i < lines; i++) {
            const int h = first * b->stride + i - b->top;
            float *to = work + n * block + i * line;
            if (h < 0 || h >= b->height) {
                cf_fill(to, line, b->fill);
                continue;
            }
            cf_fill(to, left, b->fill);
            memcpy(to + left, x + ((long)n * b->height + h) * inside, (size_t)inside * sizeof(float));
            cf_fill(to + left + inside, line - left - inside, b->fill);
        }
}

#if defined(__wasm__)
/* Tiles of one panel whose pixels follow each other. A call a tile is dear: MobileNetV2 took 1.2 %
 * longer without these, 5 % without conv_pair's (Chromium, Zen 4). */
#define CF_RUN_OF(pixels)                                                                          \
    CF_CALLED void cf_run_##pixels(const cf_sums *s, const float *x, const float *w,               \
                                   const float *bias, const float *addend, int tiles, float *y)    \
    {                                                                                              \
        for (int n = 0; n < 16; n += 8)                                                            \
            for (int i = 0; i < tiles * pixels * 16; i += pixels * 16)                             \
                cf_half_tile(pixels, 16, s, x + i, w + n, bias + n,                                \
                             addend ? addend + n + i : NULL, y + n + i);                           \
    }
#define CF_RUN_NAME(pixels) cf_run_##pixels,
CF_EVERY_SIZE(CF_RUN_OF)

/* Pixels of one panel, in tiles as even as can be. */
CF_INLINE void cf_run_pixels(const cf_sums *s, int pixels, const float *x, const float *w,
                             const float *bias, const float *addend, float *y)
{
    typedef void run(const cf_sums *s, const float *x, const float *w, const float *bias,
                     const float *addend, int tiles, float *y);
    static run *const runs[] = {NULL, CF_EVERY_SIZE(CF_RUN_NAME)};
    const int tiles = (pixels + CF_PIXELS - 1) / CF_PIXELS, size = pixels / tiles;
    const int larger = pixels % tiles, at = larger * (size + 1) * 16;
    if (larger)
        runs[size + 1](s, x, w, bias, addend, larger, y);
    runs[size](s, x + at, w, bias, addend ? addend + at : NULL, tiles - larger, y + at);
}

/* Some rows of one panel. */
CF_INLINE void cf_conv_runs(const cf_conv *c, int rows, const float *x, const float *w,
                            const float *bias, const float *addend, float *y)
{
    for (int h = 0; h < rows; h++) {
        const long at = (long)h * c->columns * 16;
        cf_run_pixels(&c->sums, c->columns, x + h * c->pitch, w, bias,
                      addend ? addend + at : NULL, y + at);
        if (c->finish)
            c->finish(y + at, c->columns * 16);
    }
}
#endif

/* Some panels of some rows. */
CF_INLINE void cf_conv_rows(const cf_conv *c, const cf_cut *cut, const int panels, int rows,
                            const float *x, const float *w, const float *bias,
                            const float *addend, float *y)
{
    for (int h = 0; h < rows; h++)
        for (int column = 0; column < c->columns;) {
            cf_tile *tile;
            const int pixels = cf_next_tile(cut, c->columns - column, &tile);
            const long at = ((long)h * c->columns + column) * 16;
            tile(&c->sums, x + h * c->pitch + (long)column * c->step, w, bias,
                 addend ? addend + at : NULL, y + at);
            if (c->finish)
                for (int n = 0; n < panels; n++)
                    c->finish(y + n * c->sums.plane + at, pixels * 16);
            column += pixels;
        }
}

/* Units `begin` to `end` - 1: those of a chunk are neighbours. */
CF_CALLED void cf_conv_units(const cf_conv *c, const float *x, const float *w, const float *bias,
                             const float *addend, float *work, float *y, int begin, int end)
{
    const int parts = (c->panels + c->width - 1) / c->width;
    const int whole = c->half.pixels ? c->panels - 1 : c->panels;
    int copied = -1;
    for (int unit = begin; unit < end; unit++) {
        const int first = unit / parts * c->chunk, part = unit % parts;
        const int rows = c->rows - first < c->chunk ? c->rows - first : c->chunk;
        if (work && first != copied)
            cf_copy_rows(&c->border, first, rows, c->chunk, x, work);
        copied = first;
        const float *from = work ? work : x + first * c->pitch;
        from += c->first ? c->first[part] : 0;
        int panel = c->width * part;
        const int stop = panel + c->width < c->panels ? panel + c->width : c->panels;
        while (panel < stop) {
            const long at = panel * c->sums.plane + (long)first * c->columns * 16;
            const float *panel_w = w + panel * c->sums.weights, *panel_bias = bias + panel * 16;
            const float *more = addend ? addend + at : NULL;
#if CF_PANELS > 1
            if (panel + 2 <= stop && panel + 2 <= whole) {
                cf_conv_rows(c, &c->tiles[1], 2, rows, from, panel_w, panel_bias, more, y + at);
                panel += 2;
                continue;
            }
#endif
            const cf_cut *cut = panel < whole ? &c->tiles[0] : &c->half;
#if defined(__wasm__)
            if (c->step == 16 && panel < whole) {
                cf_conv_runs(c, rows, from, panel_w, panel_bias, more, y + at);
                panel++;
                continue;
            }
#endif
            cf_conv_rows(c, cut, 1, rows, from, panel_w, panel_bias, more, y + at);
            panel++;
        }
    }
}
#endif

