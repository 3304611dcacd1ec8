/* Depthwise convolutions of bf16: one filter a channel.
 *
 * A word is two rows of one channel: rows are paired where a few columns are computed, and a pair
 * serves each of the output rows that read any of both, with weights of zero for the rest. Sizes of
 * the filter are numbers where these are called, so that loops over them are unrolled. */
#ifndef CF_DEPTHWISE_BF16
#define CF_DEPTHWISE_BF16
#define CF_BF16_COLUMNS 7 /* of the output that are computed together: maps of 224 pixels have sevens */

typedef struct {
    int height, width, top, left; /* of the map, of its border */
    int rows, columns;            /* of the output */
    long weights;                 /* floats of a block */
    float low, high;
    void (*finish)(float *y, int n);
} cf_filter_bf16;

/* Of `together` output rows: rows that they read, in pairs. */
#define CF_ROW_PAIRS(kh, sh, together) ((((together) - 1) * (sh) + (kh) + 1) / 2)

#ifdef CF_PAIR_PRODUCTS
/* Sums of one half of a block's channels, 0-3, 8-11, 16-19, 24-27 or the others, as pairing rows
 * gives them: [output row][column]; `line` floats from one row of cells to the next. */
CF_INLINE void cf_filter_half(const int half, const int kh, const int kw, const int sh,
                              const int sw, const int together, const float *cells, long line,
                              const float *w, cf_vector start, cf_vector (*sum)[CF_BF16_COLUMNS])
{
    const int pairs = CF_ROW_PAIRS(kh, sh, together), reach = (together - 1) * sh + kh;
    CF_UNROLL
    for (int g = 0; g < together; g++)
        CF_UNROLL
        for (int p = 0; p < CF_BF16_COLUMNS; p++)
            sum[g][p] = start;
    CF_UNROLL
    for (int i = 0; i < (CF_BF16_COLUMNS - 1) * sw + kw; i++)
        CF_UNROLL
        for (int t = 0; t < pairs; t++) {
            const float *cell = cells + 2 * t * line + i * 16;
            const __m512i a = _mm512_loadu_si512(cell);
            const __m512i b = 2 * t + 1 < reach ? _mm512_loadu_si512(cell + line)
                                                : _mm512_setzero_si512();
            const cf_ints pair = (cf_ints)(half ? _mm512_unpackhi_epi16(a, b)
                                                : _mm512_unpacklo_epi16(a, b));
            CF_UNROLL
            for (int q = i % sw; q < kw; q += sw) {
                const int p = (i - q) / sw;
                if (i < q || p >= CF_BF16_COLUMNS)
                    continue;
                CF_UNROLL
                for (int g = 0; g < together; g++)
                    if (2 * t + 1 >= g * sh && 2 * t < g * sh + kh)
                        sum[g][p] = cf_dot_pairs(
                            sum[g][p], pair,
                            cf_load_ints(w + (((half * kw + q) * pairs + t) * together + g) * 16));
            }
        }
}

/* Up to CF_BF16_COLUMNS pixels of `rows` rows. */
CF_INLINE void cf_filter_cells(const cf_filter_bf16 *f, const int kh, const int kw, const int sh,
                               const int sw, const int together, const float *cells, long line,
                               const float *w, const float *bias, int rows, int columns, float *y)
{
    cf_vector sum[2][CF_BF16_COLUMNS];
    float all[2 * CF_BF16_COLUMNS * 32] __attribute__((aligned(64)));
    const cf_vector low = cf_every(f->low), high = cf_every(f->high);
    CF_UNROLL
    for (int half = 0; half < 2; half++) {
        /* Rows are read again for the second half: kept from the first, they have no registers. */
        __asm__ volatile("" : : : "memory");
        cf_filter_half(half, kh, kw, sh, sw, together, cells, line, w, cf_load(bias + half * 16), sum);
        CF_UNROLL
        for (int g = 0; g < together; g++)
            CF_UNROLL
            for (int p = 0; p < CF_BF16_COLUMNS; p++)
                cf_store(all + ((g * CF_BF16_COLUMNS + p) * 2 + half) * 16,
                         cf_vector_min(high, cf_vector_max(low, sum[g][p])));
    }
    if (f->finish)
        f->finish(all, together * CF_BF16_COLUMNS * 32);
    const __m512i order = _mm512_setr_epi64(0, 4, 1, 5, 2, 6, 3, 7);
    for (int g = 0; g < rows; g++)
        for (int p = 0; p < columns; p++) {
            const float *from = all + (g * CF_BF16_COLUMNS + p) * 32;
            const __m512i both = (__m512i)_mm512_cvtne2ps_pbh((__m512)cf_load(from + 16),
                                                              (__m512)cf_load(from));
            _mm512_storeu_si512(y + ((long)g * f->columns + p) * 16,
                                _mm512_permutexvar_epi64(order, both));
        }
}

/* The cells that they read, zeros where the map has none. */
CF_INLINE void cf_copy_cells(const cf_filter_bf16 *f, int row, int column, int rows, int columns,
                             const float *x, float *to)
{
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < columns; j++) {
            const int h = row + i, v = column + j;
            const int inside = h >= 0 && h < f->height && v >= 0 && v < f->width;
            cf_store(to + (i * columns + j) * 16,
                     inside ? cf_load(x + ((long)h * f->width + v) * 16) : cf_every(0.0f));
        }
}

CF_INLINE void cf_bf16_filter_rows(const cf_filter_bf16 *f, const int kh, const int kw, const int sh,
                              const int sw, const int together, int first, int rows,
                              const float *x, const float *w, const float *bias, float *y)
{
    const int reach = (together - 1) * sh + kh, wide = (CF_BF16_COLUMNS - 1) * sw + kw;
    float copy[reach * wide * 16] __attribute__((aligned(64)));
    for (int column = 0; column < f->columns; column += CF_BF16_COLUMNS) {
        /* The last columns are computed with those before them, some twice. */
        const int last = f->columns - CF_BF16_COLUMNS, at = column <= last ? column : last < 0 ? 0 : last;
        const int h = first * sh - f->top, v = at * sw - f->left;
        const float *cells = x + ((long)h * f->width + v) * 16;
        long line = f->width * 16L;
        if (h < 0 || v < 0 || h + reach > f->height || v + wide > f->width) {
            cf_copy_cells(f, h, v, reach, wide, x, copy);
            cells = copy;
            line = wide * 16;
        }
        cf_filter_cells(f, kh, kw, sh, sw, together, cells, line, w, bias, rows,
                        f->columns < CF_BF16_COLUMNS ? f->columns : CF_BF16_COLUMNS,
                        y + ((long)first * f->columns + at) * 16);
    }
}
#else
CF_INLINE void cf_bf16_filter_rows(const cf_filter_bf16 *f, const int kh, const int kw, const int sh,
                              const int sw, const int together, int first, int rows,
                              const float *x, const float *w, const float *bias, float *y)
{
    const int pairs = CF_ROW_PAIRS(kh, sh, together);
    const cf_vector low = cf_every(f->low), high = cf_every(f->high);
    for (int n = 0; n < 32; n += CF_LANES) {
        cf_vector taps[kh * kw], start, all[1];
        for (int lane = 0; lane < CF_LANES; lane++) {
            const int channel = n + lane, half = channel / 4 % 2, at = channel / 8 * 4 + channel % 4;
            start[lane] = bias[half * 16 + at];
            for (int r = 0; r < kh; r++)
                for (int q = 0; q < kw; q++) { /* of the first of the rows of a unit */
                    const long pair = ((half * kw + q) * pairs + r / 2) * together;
                    const unsigned bits = ((const uint16_t *)(const void *)w)[2 * (pair * 16 + at) + r % 2];
                    const unsigned wide = bits << 16;
                    float weight;
                    memcpy(&weight, &wide, sizeof weight);
                    taps[r * kw + q][lane] = weight;
                }
        }
        for (int i = 0; i < rows * f->columns; i++) {
            const int top = (first + i / f->columns) * sh - f->top;
            const int left = i % f->columns * sw - f->left;
            all[0] = start;
            for (int r = 0; r < kh; r++)
                for (int q = 0; q < kw; q++) {
                    const int h = top + r, v = left + q;
                    if (h >= 0 && h < f->height && v >= 0 && v < f->width)
                        all[0] += cf_load_bf16(x + ((long)h * f->width + v) * 16 + n / 2) * taps[r * kw + q];
                }
            all[0] = cf_vector_min(high, cf_vector_max(low, all[0]));
            if (f->finish) {
                float some[16] __attribute__((aligned(64))) = {0};
                cf_store(some, all[0]);
                f->finish(some, 16);
                all[0] = cf_load(some);
            }
            cf_store_bf16(y + ((long)first * f->columns + i) * 16 + n / 2, all[0]);
        }
    }
}
#endif

/* A unit is `together` output rows of a block. */
CF_INLINE void cf_bf16_filter_units(const cf_filter_bf16 *f, const int kh, const int kw, const int sh,
                               const int sw, const int together, const float *x, const float *w,
                               const float *bias, float *y, int begin, int end)
{
    const int strips = (f->rows + together - 1) / together;
    for (int unit = begin; unit < end; unit++) {
        const int block = unit / strips, first = unit % strips * together;
        const int rows = f->rows - first < together ? f->rows - first : together;
        cf_bf16_filter_rows(f, kh, kw, sh, sw, together, first, rows,
                       x + (long)block * f->height * f->width * 16, w + block * f->weights,
                       bias + block * 32, y + (long)block * f->rows * f->columns * 16);
    }
}
#endif

