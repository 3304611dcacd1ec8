/* Convolutions on blocks of 16 channels, [C / 16][H][W][16], made of the microkernel's tiles.
 *
 * The output is cut into chunks of rows, and a chunk into panels, by twos where that saves: one
 * unit each. A padded or strided map is copied chunk by chunk into the workspace, where its border
 * is zeros and the columns that one tap reads for neighbouring pixels are neighbours:
 * [block][row phase][row][column phase][column][lane], a phase for each remainder by the stride. A
 * chunk of it stays in the second-level cache while all panels read it. */
#ifndef CF_CONV
#define CF_CONV
typedef struct {
    int blocks, lanes; /* of the map that is read: 16 channels a block, or 1 where it is planar */
    int height, width, top, left, stride_height, stride_width;
    int row_phases, column_phases; /* how many remainders taps have, */
    const int *row_phase, *column_phase; /* and which */
    int reach;                     /* rows that a chunk reads beyond its own number */
    int columns;                   /* of one line in the workspace */
} cf_border;

typedef struct {
    cf_sums sums;
    cf_tile *const tiles[CF_PANELS]; /* of one panel, of two */
    void (*finish)(float *y, int n); /* what of the epilogue the microkernel does not do, or NULL */
    int pixels;                      /* of a tile */
    int panels, rows, columns, chunk; /* of the output; `chunk` rows are computed together */
    long pitch;                      /* floats from what one row reads to what the next one reads */
    int width;                       /* panels of a unit: two, or one where groups are narrow */
    const int *first;                /* for each unit of a chunk, where its inputs begin; or NULL */
    cf_border border;
} cf_conv;

/* One line: the columns of a phase, apart by the stride, and zeros where the map has none. */
CF_INLINE void cf_copy_line(const cf_border *b, const int lanes, int phase, const float *x,
                            float *to)
{
    const int step = b->stride_width;
    const int before = b->left - phase; /* cells missing at the left of column 0 */
    int from = before > 0 ? (before + step - 1) / step : 0;
    const int inside = b->width + before; /* 1 + the last cell, seen from column 0 */
    int end = inside > 0 ? (inside + step - 1) / step : 0;
    end = end < b->columns ? end : b->columns;
    from = from < end ? from : end;
    memset(to, 0, (size_t)from * lanes * sizeof(float));
    const float *cell = x + ((long)from * step - before) * lanes;
    if (step == 1)
        memcpy(to + (long)from * lanes, cell, (size_t)(end - from) * lanes * sizeof(float));
    else if (step == 2 && lanes == 1) /* the common one, as vectors */
        for (int i = from; i < end; i++)
            to[i] = cell[2 * (i - from)];
    else
        for (int i = from; i < end; i++, cell += (long)step * lanes)
            memcpy(to + (long)i * lanes, cell, lanes * sizeof(float));
    memset(to + (long)end * lanes, 0, (size_t)(b->columns - end) * lanes * sizeof(float));
}

/* The rows that a chunk of the output reads, from output row `first` on. */
CF_CALLED void cf_copy_rows(const cf_border *b, int first, int rows, int chunk, const float *x,
                            float *work)
{
    const long line = (long)b->columns * b->lanes;
    for (int block = 0; block < b->blocks; block++)
        for (int r = 0; r < b->row_phases; r++) {
            float *to = work + ((long)block * b->row_phases + r) * (chunk + b->reach) *
                                   b->column_phases * line;
            for (int i = 0; i < rows + b->reach; i++) {
                const int h = (first + i) * b->stride_height + b->row_phase[r] - b->top;
                for (int q = 0; q < b->column_phases; q++, to += line) {
                    if (h < 0 || h >= b->height) {
                        memset(to, 0, (size_t)line * sizeof(float));
                        continue;
                    }
                    const float *from = x + ((long)block * b->height + h) * b->width * b->lanes;
                    if (b->lanes == 16)
                        cf_copy_line(b, 16, b->column_phase[q], from, to);
                    else
                        cf_copy_line(b, 1, b->column_phase[q], from, to);
                }
            }
        }
}

/* Some panels of some rows; tiles of a row overlap where its columns are no multiple. */
CF_INLINE void cf_conv_rows(const cf_conv *c, const int panels, int rows, const float *x,
                            const float *w, const float *bias, const float *addend, float *y)
{
    cf_tile *const tile = c->tiles[panels - 1];
    const int last = c->columns - c->pixels;
    const int step = c->border.lanes;
    for (int h = 0; h < rows; h++)
        for (int done = 0; done < c->columns; done += c->pixels) {
            const int column = done < last ? done : last;
            const long at = ((long)h * c->columns + column) * 16;
            tile(&c->sums, x + h * c->pitch + (long)column * step, w, bias,
                 addend ? addend + at : NULL, y + at);
            if (c->finish)
                for (int n = 0; n < panels; n++)
                    c->finish(y + n * c->sums.plane + at, c->pixels * 16);
        }
}

/* Units `begin` to `end` - 1: those of a chunk are neighbours. */
CF_CALLED void cf_conv_units(const cf_conv *c, const float *x, const float *w, const float *bias,
                             const float *addend, float *work, float *y, int begin, int end)
{
    const int parts = (c->panels + c->width - 1) / c->width;
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
            if (panel + 2 <= stop) {
                cf_conv_rows(c, 2, rows, from, panel_w, panel_bias, more, y + at);
                panel += 2;
                continue;
            }
#endif
            cf_conv_rows(c, 1, rows, from, panel_w, panel_bias, more, y + at);
            panel++;
        }
    }
}
#endif

