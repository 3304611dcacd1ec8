/* Winograd's convolution: 3x3 without stride, m x m outputs a tile from (m + 2)^2 products.
 *
 * The output is cut into blocks of tiles. A block's inputs are transformed once into the workspace,
 * V [place of (m + 2)^2][channel block][tile][16], each place a matrix that the microkernel
 * multiplies with the transformed weights of a pair of panels, U [panel][place][channel][16], to
 * M [panel of the pair][tile][place][16], which is transformed to the output's pixels. A unit is a
 * pair of panels of a block. Where `halves` is set, maps are of bf16, and two blocks of 16 channels
 * are one of theirs; all between is floats. */
#ifndef CF_WINOGRAD
#define CF_WINOGRAD
#define CF_WIDEST 6

typedef struct {
    cf_sums sums;
    cf_cut tiles[CF_PANELS];
    void (*finish)(float *y, int n);
    float low, high;
    int channels, blocks, panels; /* of the map, its blocks of 16, those of the output */
    int height, width, top, left, rows, columns;
    int across, tiles_count, block; /* tiles in a row, in all, computed together */
    long place;               /* floats from one place of V to the next */
} cf_winograd;

typedef void cf_transform(const cf_vector *x, cf_vector *y);

/* A vector of a cell from lane `l` on. */
CF_INLINE cf_vector cf_cell(const int halves, const float *cell, int l)
{
    return halves ? cf_load_bf16(cell + l / 2) : cf_load(cell + l);
}

/* Floats from a map to what it has of its block `n` of 16 channels; `plane` is a whole block. */
CF_INLINE long cf_block_at(const int halves, int n, long plane)
{
    return halves ? n / 2 * plane + n % 2 * 8 : n * plane;
}

/* One tile's cells, `row` floats from line to line, to its place in V. */
CF_INLINE void cf_winograd_input(const int halves, const int a, cf_transform *const line,
                                 const float *x, long row, float *v, long place)
{
    for (int l = 0; l < 16; l += CF_LANES) {
        cf_vector half[CF_WIDEST][CF_WIDEST];
        CF_UNROLL
        for (int j = 0; j < a; j++) {
            cf_vector in[CF_WIDEST], out[CF_WIDEST];
            CF_UNROLL
            for (int i = 0; i < a; i++)
                in[i] = cf_cell(halves, x + i * row + j * 16, l);
            line(in, out);
            CF_UNROLL
            for (int i = 0; i < a; i++)
                half[i][j] = out[i];
        }
        CF_UNROLL
        for (int i = 0; i < a; i++) {
            cf_vector out[CF_WIDEST];
            line(half[i], out);
            CF_UNROLL
            for (int j = 0; j < a; j++)
                cf_store(v + (i * a + j) * place + l, out[j]);
        }
    }
}

/* One tile of M to m x m pixels, `row` floats from line to line. */
CF_INLINE void cf_winograd_output(const int m, cf_transform *const line, const cf_winograd *c,
                                  const float *sums, const float *bias, const float *addend,
                                  float *y, long row)
{
    const int a = m + 2;
    const cf_vector low = cf_every(c->low), high = cf_every(c->high);
    for (int l = 0; l < 16; l += CF_LANES) {
        const cf_vector start = cf_load(bias + l);
        cf_vector half[CF_WIDEST][CF_WIDEST];
        CF_UNROLL
        for (int j = 0; j < a; j++) {
            cf_vector in[CF_WIDEST], out[CF_WIDEST];
            CF_UNROLL
            for (int i = 0; i < a; i++)
                in[i] = cf_load(sums + (i * a + j) * 16 + l);
            line(in, out);
            CF_UNROLL
            for (int i = 0; i < m; i++)
                half[i][j] = out[i];
        }
        CF_UNROLL
        for (int i = 0; i < m; i++) {
            cf_vector out[CF_WIDEST];
            line(half[i], out);
            CF_UNROLL
            for (int j = 0; j < m; j++) {
                const long at = i * row + j * 16 + l;
                cf_vector value = out[j] + start;
                if (addend)
                    value += cf_load(addend + at);
                cf_store(y + at, cf_vector_min(high, cf_vector_max(low, value)));
            }
        }
    }
}

/* `rows` x `columns` pixels of a map as floats, lines `from_row` and `to_row` floats apart. */
CF_INLINE void cf_copy_pixels(const int halves, int rows, int columns, const float *from,
                              long from_row, float *to, long to_row)
{
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < columns * 16; j += 16)
            for (int l = 0; l < 16; l += CF_LANES)
                cf_store(to + i * to_row + j + l, cf_cell(halves, from + i * from_row + j, l));
}

/* The other way. */
CF_INLINE void cf_put_pixels(const int halves, int rows, int columns, const float *from,
                             long from_row, float *to, long to_row)
{
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < columns * 16; j += 16)
            for (int l = 0; l < 16; l += CF_LANES) {
                const cf_vector value = cf_load(from + i * from_row + j + l);
                if (halves)
                    cf_store_bf16(to + i * to_row + j + l / 2, value);
                else
                    cf_store(to + i * to_row + j + l, value);
            }
}

CF_INLINE int cf_least(int a, int b)
{
    return a < b ? a : b;
}

/* The inputs of tiles `first` on, of all channels; cells outside the map are zeros. */
CF_INLINE void cf_winograd_inputs(const int halves, const int m, cf_transform *const line,
                                  const cf_winograd *c, int first, const float *x, float *v)
{
    const int a = m + 2;
    const long row = c->width * 16L;
    for (int block = 0; block < c->blocks; block++) {
        const float *from = x + cf_block_at(halves, block, c->height * row);
        for (int t = 0; t < c->block; t++) {
            const int h = (first + t) / c->across * m - c->top;
            const int w = (first + t) % c->across * m - c->left;
            float *to = v + ((long)block * c->block + t) * 16;
            if (h >= 0 && w >= 0 && h + a <= c->height && w + a <= c->width) {
                cf_winograd_input(halves, a, line, from + h * row + w * 16L, row, to, c->place);
                continue;
            }
            float cells[CF_WIDEST * CF_WIDEST * 16] __attribute__((aligned(64)));
            memset(cells, 0, sizeof cells);
            const int i = h < 0 ? -h : 0, j = w < 0 ? -w : 0;
            cf_copy_pixels(halves, cf_least(a, c->height - h) - i, cf_least(a, c->width - w) - j,
                           from + (h + i) * row + (w + j) * 16L, row, cells + (i * a + j) * 16,
                           a * 16);
            cf_winograd_input(0, a, line, cells, a * 16, to, c->place);
        }
    }
}

/* One panel's pixels of tiles `first` to `last` - 1, from sums that begin with tile `start`. */
CF_INLINE void cf_winograd_outputs(const int halves, const int m, cf_transform *const line,
                                   const cf_winograd *c, int start, int first, int last, const float *sums,
                                   const float *bias, const float *addend, float *y)
{
    const long row = c->columns * 16L;
    for (int t = first; t < last; t++) {
        const int h = t / c->across * m, w = t % c->across * m;
        const int rows = cf_least(m, c->rows - h), columns = cf_least(m, c->columns - w);
        const float *from = sums + (t - start) * c->sums.pixel;
        const long at = h * row + w * 16L;
        if (!halves && rows == m && columns == m) {
            cf_winograd_output(m, line, c, from, bias, addend ? addend + at : NULL, y + at, row);
        } else {
            float more[CF_WIDEST * CF_WIDEST * 16] __attribute__((aligned(64)));
            float cells[CF_WIDEST * CF_WIDEST * 16] __attribute__((aligned(64)));
            if (addend)
                cf_copy_pixels(halves, rows, columns, addend + at, row, more, m * 16);
            cf_winograd_output(m, line, c, from, bias, addend ? more : NULL, cells, m * 16);
            if (halves && c->finish)
                c->finish(cells, m * m * 16);
            cf_put_pixels(halves, rows, columns, cells, m * 16, y + at, row);
        }
        if (!halves && c->finish)
            for (int i = 0; i < rows; i++)
                c->finish(y + at + i * row, columns * 16);
    }
}

/* M of one pair of panels: one product of matrices a place. */
CF_CALLED void cf_winograd_products(const cf_winograd *c, int places, int panels, const float *v,
                                    const float *u, float *sums)
{
    static const float zeros[32] __attribute__((aligned(64))) = {0};
    for (int place = 0; place < places; place++) {
        const float *w = u + (long)place * c->channels * 16;
        for (int panel = 0; panel < panels;) {
            const int together = CF_PANELS > 1 && panel + 2 <= panels ? 2 : 1;
            for (int t = 0; t < c->block;) {
                cf_tile *tile;
                const int next = cf_next_tile(&c->tiles[together - 1], c->block - t, &tile);
                tile(&c->sums, v + place * c->place + t * 16L, w + panel * c->sums.weights, zeros,
                     NULL, sums + panel * c->sums.plane + t * c->sums.pixel + place * 16L);
                t += next;
            }
            panel += together;
        }
    }
}

CF_INLINE void cf_winograd_units(const int halves, const int m, cf_transform *const input,
                                 cf_transform *const output, const cf_winograd *c, const float *x,
                                 const float *u, const float *bias, const float *addend,
                                 float *work, float *y, int begin, int end)
{
    const int pairs = (c->panels + 1) / 2, places = (m + 2) * (m + 2);
    const long plane = (long)c->rows * c->columns * 16;
    float *sums = work + places * c->place;
    int transformed = -1;
    for (int unit = begin; unit < end; unit++) {
        const int first = unit / pairs * c->block, pair = unit % pairs;
        /* The last block begins earlier than it should, but gives its own tiles only. */
        const int start = cf_least(first, c->tiles_count - c->block);
        if (start != transformed)
            cf_winograd_inputs(halves, m, input, c, start, x, work);
        transformed = start;
        const int panels = cf_least(2, c->panels - 2 * pair);
        cf_winograd_products(c, places, panels, work, u + 2 * pair * c->sums.weights, sums);
        for (int n = 0; n < panels; n++) {
            const int panel = 2 * pair + n;
            const long at = cf_block_at(halves, panel, plane);
            cf_winograd_outputs(halves, m, output, c, start, first,
                                cf_least(first + c->block, c->tiles_count), sums + n * c->sums.plane,
                                bias + panel * 16, addend ? addend + at : NULL, y + at);
        }
    }
}
#endif

