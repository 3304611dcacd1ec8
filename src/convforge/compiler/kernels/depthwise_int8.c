
/* Depthwise convolutions of bytes: one filter a channel.
 *
 * A word is four rows of one channel: quads of rows are made of a few columns at a time, and a quad
 * serves the output rows that read any of them, with weights of zero for the rest. Sizes of the
 * filter are numbers where these are called, so that loops over them are unrolled. */
#ifndef CF_DEPTHWISE_INT8
#define CF_DEPTHWISE_INT8
#define CF_COLUMNS 8 /* of the output that are computed together */

typedef struct {
    int height, width, top, left; /* of the map, of its border */
    int rows, columns;            /* of the output */
    int channels, zero_in, found, largest;
    long weights, more; /* floats of a block */
} cf_filter_int8;

/* Of `together` output rows: rows that they read, in quads. */
#define CF_QUADS(kh, sh, together) ((((together) - 1) * (sh) + (kh) + 3) / 4)

#ifdef CF_VNNI
/* The quads of input columns `first` to `first` + columns - 1: [quad][16 channels][column]. */
CF_INLINE void cf_make_quads(const cf_filter_int8 *f, const int quads, const int columns, int row,
                             int reach, int first, int parts, const float *x, __m512i *made)
{
    static const cf_byte pairs[64] = {
        0,  64, 1,  65, 2,  66, 3,  67, 4,  68, 5,  69, 6,  70, 7,  71, 8,  72, 9,  73, 10, 74,
        11, 75, 12, 76, 13, 77, 14, 78, 15, 79, 16, 80, 17, 81, 18, 82, 19, 83, 20, 84, 21, 85,
        22, 86, 23, 87, 24, 88, 25, 89, 26, 90, 27, 91, 28, 92, 29, 93, 30, 94, 31, 95};
    static const uint16_t fours[32] = {0,  32, 1,  33, 2,  34, 3,  35, 4,  36, 5,
                                       37, 6,  38, 7,  39, 8,  40, 9,  41, 10, 42,
                                       11, 43, 12, 44, 13, 45, 14, 46, 15, 47};
    const __m512i low = _mm512_loadu_si512(pairs), step = _mm512_set1_epi8(32);
    const __m512i high = _mm512_add_epi8(low, step);
    const __m512i front = _mm512_loadu_si512(fours);
    const __m512i back = _mm512_add_epi16(front, _mm512_set1_epi16(16));
    const __m512i border = _mm512_set1_epi8((char)f->zero_in);
    for (int t = 0; t < quads; t++) {
        const float *line[4];
        __mmask64 inside[4];
        for (int k = 0; k < 4; k++) {
            const int h = row + 4 * t + k;
            const int read = h >= 0 && h < f->height && 4 * t + k < reach;
            line[k] = x + (read ? (long)h * f->width * 16 : 0);
            inside[k] = read ? ~0ull : 0;
        }
        for (int i = 0; i < columns; i++) {
            const int column = first + i;
            const int read = column >= 0 && column < f->width;
            const long at = read ? column * 16L : 0;
            __m512i row_of[4];
            CF_UNROLL
            for (int k = 0; k < 4; k++)
                row_of[k] = _mm512_mask_loadu_epi8(border, read ? inside[k] : 0, line[k] + at);
            const __m512i a = _mm512_permutex2var_epi8(row_of[0], low, row_of[1]);
            const __m512i b = _mm512_permutex2var_epi8(row_of[2], low, row_of[3]);
            __m512i *to = made + t * 4 * columns + i;
            to[0] = _mm512_permutex2var_epi16(a, front, b);
            to[columns] = _mm512_permutex2var_epi16(a, back, b);
            if (parts <= 2)
                continue;
            const __m512i c = _mm512_permutex2var_epi8(row_of[0], high, row_of[1]);
            const __m512i d = _mm512_permutex2var_epi8(row_of[2], high, row_of[3]);
            to[2 * columns] = _mm512_permutex2var_epi16(c, front, d);
            to[3 * columns] = _mm512_permutex2var_epi16(c, back, d);
        }
    }
}

/* Up to CF_COLUMNS pixels of `together` rows of 16 channels. */
CF_INLINE void cf_filter_quads(const cf_filter_int8 *f, const int kh, const int kw, const int sh,
                               const int sw, const int together, const __m512i *quads,
                               const float *w, const float *more, int j, int rows, int columns,
                               float *y)
{
    const int count = CF_QUADS(kh, sh, together), wide = (CF_COLUMNS - 1) * sw + kw;
    __m512i sum[2][CF_COLUMNS];
    CF_UNROLL
    for (int g = 0; g < together; g++)
        CF_UNROLL
        for (int p = 0; p < CF_COLUMNS; p++)
            sum[g][p] = _mm512_loadu_si512(more + 16 * j);
    CF_UNROLL
    for (int q = 0; q < kw; q++)
        CF_UNROLL
        for (int t = 0; t < count; t++)
            CF_UNROLL
            for (int g = 0; g < together; g++) {
                if (4 * t + 3 < g * sh || 4 * t >= g * sh + kh)
                    continue;
                const __m512i row =
                    _mm512_loadu_si512(w + (((j * kw + q) * count + t) * together + g) * 16);
                CF_UNROLL
                for (int p = 0; p < CF_COLUMNS; p++)
                    sum[g][p] = cf_dot(sum[g][p], quads[(t * 4 + j) * wide + p * sw + q], row);
            }
    const __m512i shift = _mm512_loadu_si512(more + 64 + 16 * j);
    const __m512i by = _mm512_loadu_si512(more + 128 + 16 * j);
    const __m512i top = _mm512_set1_epi8((char)f->largest);
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    CF_UNROLL
    for (int g = 0; g < together; g++) {
        if (g >= rows)
            break;
        CF_UNROLL
        for (int p = 0; p < CF_COLUMNS; p += 4) {
            const __m512i *s = &sum[g][p];
            const __m512i a = cf_scaled(s[0], s[1], shift, shift, by);
            const __m512i b = cf_scaled(s[2], s[3], shift, shift, by);
            __m512i bytes = _mm512_min_epu8(_mm512_packus_epi16(a, b), top);
            if (f->found)
                bytes = cf_look_up(more + 192, bytes);
            bytes = _mm512_permutexvar_epi32(order, bytes);
            float *to = y + ((long)g * f->columns + p) * 16 + 4 * j;
            const int left = columns - p;
            if (left > 0)
                _mm_storeu_si128((void *)to, _mm512_castsi512_si128(bytes));
            if (left > 1)
                _mm_storeu_si128((void *)(to + 16), _mm512_extracti32x4_epi32(bytes, 1));
            if (left > 2)
                _mm_storeu_si128((void *)(to + 32), _mm512_extracti32x4_epi32(bytes, 2));
            if (left > 3)
                _mm_storeu_si128((void *)(to + 48), _mm512_extracti32x4_epi32(bytes, 3));
        }
    }
}

CF_INLINE void cf_filter_rows(const cf_filter_int8 *f, const int kh, const int kw, const int sh,
                              const int sw, const int together, int first, int rows,
                              int parts, const float *x, const float *w, const float *more, float *y)
{
    const int count = CF_QUADS(kh, sh, together), wide = (CF_COLUMNS - 1) * sw + kw;
    __m512i quads[count * 4 * wide];
    const int reach = (together - 1) * sh + kh;
    for (int column = 0; column < f->columns; column += CF_COLUMNS) {
        cf_make_quads(f, count, wide, first * sh - f->top, reach, column * sw - f->left, parts, x, quads);
        for (int j = 0; j < parts; j++)
            cf_filter_quads(f, kh, kw, sh, sw, together, quads, w, more, j, rows,
                            f->columns - column, y + ((long)first * f->columns + column) * 16);
    }
}
#elif defined(__AVX2__)
CF_INLINE void cf_filter_rows(const cf_filter_int8 *f, const int kh, const int kw, const int sh,
                              const int sw, const int together, int first, int rows,
                              int parts, const float *x, const float *w, const float *more, float *y)
{
    const int count = CF_QUADS(kh, sh, together), taps = kh * kw;
    const cf_byte *table = f->found ? (const void *)(more + 192) : NULL;
    const int8_t *weights = (const void *)w;
    for (int j = 0; j < parts; j++) {
        /* Products of 16 bits of two taps at a time; channels 0-3 and 8-11, 4-7 and 12-15. */
        int16_t pairs[(taps + 1) / 2][2][16], by[16];
        int halves[2][2][8];
        memset(pairs, 0, sizeof pairs);
        for (int n = 0; n < 16; n++) {
            const int high = n / 4 % 2, at = n / 8 * 4 + n % 4;
            halves[0][high][at] = ((const cf_word *)(const void *)more)[16 * j + n];
            halves[1][high][at] = ((const cf_word *)(const void *)more)[64 + 16 * j + n];
            by[n] = ((const cf_short *)(const void *)(more + 128))[j * 32 + n / 4 * 8 + n % 4];
            for (int r = 0; r < kh; r++)
                for (int q = 0; q < kw; q++) /* of the first of the rows of a unit */
                    pairs[(r * kw + q) / 2][high][2 * at + (r * kw + q) % 2] =
                        weights[4 * (((j * kw + q) * count + r / 4) * together * 16 + n) + r % 4];
        }
        const __m128i border = _mm_set1_epi8((char)f->zero_in);
        const cf_byte *map = (const cf_byte *)(const void *)x + 16 * j;
        for (int i = 0; i < rows * f->columns; i++) {
            const int top = (first + i / f->columns) * sh - f->top;
            const int left = i % f->columns * sw - f->left;
            const cf_byte *cell = map + ((long)top * f->width + left) * 64;
            const int whole = top >= 0 && top + kh <= f->height && left >= 0 && left + kw <= f->width;
            __m256i low = cf_load_wide(halves[0][0]), high = cf_load_wide(halves[0][1]);
            CF_UNROLL
            for (int t = 0; t < taps; t += 2) {
                __m256i two[2];
                CF_UNROLL
                for (int k = 0; k < 2; k++) {
                    const int tap = t + k < taps ? t + k : t, h = tap / kw, v = tap % kw;
                    const int inside = whole || (top + h >= 0 && top + h < f->height &&
                                                 left + v >= 0 && left + v < f->width);
                    two[k] = _mm256_cvtepu8_epi16(
                        inside ? _mm_loadu_si128((const void *)(cell + (h * f->width + v) * 64L))
                               : border);
                }
                low = _mm256_add_epi32(low, _mm256_madd_epi16(_mm256_unpacklo_epi16(two[0], two[1]),
                                                              cf_load_wide(pairs[t / 2][0])));
                high = _mm256_add_epi32(high, _mm256_madd_epi16(_mm256_unpackhi_epi16(two[0], two[1]),
                                                                cf_load_wide(pairs[t / 2][1])));
            }
            const __m256i e = cf_scaled(low, high, cf_load_wide(halves[1][0]),
                                        cf_load_wide(halves[1][1]), cf_load_wide(by));
            cf_store_sixteen(y + ((long)first * f->columns + i) * 16 + 4 * j, e, f->largest, table);
        }
    }
}
#elif defined(CF_WEB)
#define CF_BAND 4 /* columns of the output that are computed together */
/* Eight bytes of each, one by one. */
#define CF_BY_TURNS(a, b, n)                                                                       \
    wasm_i8x16_shuffle(a, b, n, n + 16, n + 1, n + 17, n + 2, n + 18, n + 3, n + 19, n + 4, n + 20, \
                       n + 5, n + 21, n + 6, n + 22, n + 7, n + 23)

/* The quads of 16 channels of input columns `first` to `first` + columns - 1. */
CF_INLINE void cf_make_quads(const cf_filter_int8 *f, const int quads, const int columns, int row,
                             int reach, int first, const cf_byte *x, v128_t (*made)[4])
{
    const v128_t border = wasm_i8x16_splat((signed char)f->zero_in);
    for (int t = 0; t < quads; t++) {
        const cf_byte *line[4];
        long pitch[4];
        CF_UNROLL
        for (int k = 0; k < 4; k++) {
            const int h = row + 4 * t + k;
            const int read = h >= 0 && h < f->height && 4 * t + k < reach;
            line[k] = read ? x + (long)h * f->width * 64 : (const cf_byte *)(const void *)&border;
            pitch[k] = read ? 64 : 0;
        }
        CF_UNROLL
        for (int i = 0; i < columns; i++) {
            const int column = first + i;
            v128_t *to = made[t * columns + i];
            if (column < 0 || column >= f->width) {
                CF_UNROLL
                for (int v = 0; v < 4; v++)
                    to[v] = border;
                continue;
            }
            v128_t of[4];
            CF_UNROLL
            for (int k = 0; k < 4; k++)
                of[k] = wasm_v128_load(line[k] + column * pitch[k]);
            const v128_t a = CF_BY_TURNS(of[0], of[1], 0), c = CF_BY_TURNS(of[0], of[1], 8);
            const v128_t b = CF_BY_TURNS(of[2], of[3], 0), d = CF_BY_TURNS(of[2], of[3], 8);
            to[0] = wasm_i16x8_shuffle(a, b, 0, 8, 1, 9, 2, 10, 3, 11);
            to[1] = wasm_i16x8_shuffle(a, b, 4, 12, 5, 13, 6, 14, 7, 15);
            to[2] = wasm_i16x8_shuffle(c, d, 0, 8, 1, 9, 2, 10, 3, 11);
            to[3] = wasm_i16x8_shuffle(c, d, 4, 12, 5, 13, 6, 14, 7, 15);
        }
    }
}

/* Four channels from `n` on of up to CF_BAND pixels of one output row. */
CF_INLINE void cf_filter_band(const cf_filter_int8 *f, const int kh, const int kw, const int sh,
                              const int sw, const int together, const int g, const int dot,
                              const cf_ready *r, int n, const v128_t (*quads)[4], const float *w,
                              int columns, cf_byte *to)
{
    const int count = CF_QUADS(kh, sh, together), wide = (CF_BAND - 1) * sw + kw;
    cf_four sum[CF_BAND];
    CF_UNROLL
    for (int p = 0; p < CF_BAND; p++)
        sum[p] = cf_begin(wasm_v128_load(r->bias + n));
    CF_UNROLL
    for (int q = 0; q < kw; q++)
        CF_UNROLL
        for (int t = 0; t < count; t++) {
            if (4 * t + 3 < g * sh || 4 * t >= g * sh + kh)
                continue;
            const cf_four row = cf_load_four(
                w + (((n / 16 * kw + q) * count + t) * together + g) * 16 + n % 16);
            CF_UNROLL
            for (int p = 0; p < CF_BAND; p++)
                cf_dots(dot, &sum[p], cf_four_words(quads[t * wide + p * sw + q][n / 4 % 4]), row);
        }
    const v128_t by = wasm_v128_load64_splat(r->by + n);
    v128_t pair[2];
    CF_UNROLL
    for (int i = 0; i < 2; i++) {
        const v128_t a = cf_bounded(r, n, cf_whole(sum[2 * i]));
        const v128_t b = cf_bounded(r, n, cf_whole(sum[2 * i + 1]));
        pair[i] = cf_shares(wasm_i16x8_narrow_i32x4(a, b), by);
    }
    const v128_t bytes = wasm_u8x16_min(wasm_u8x16_narrow_i16x8(pair[0], pair[1]),
                                        wasm_i8x16_splat((signed char)f->largest));
    wasm_v128_store32_lane(to, bytes, 0);
    if (columns > 1)
        wasm_v128_store32_lane(to + 64, bytes, 1);
    if (columns > 2)
        wasm_v128_store32_lane(to + 128, bytes, 2);
    if (columns > 3)
        wasm_v128_store32_lane(to + 192, bytes, 3);
    if (f->found)
        for (int p = 0; p < columns && p < CF_BAND; p++)
            CF_UNROLL
            for (int i = 0; i < 4; i++)
                to[64 * p + i] = r->table[to[64 * p + i]];
}

/* `more` is a cf_ready of the block's channels. */
CF_INLINE void cf_filter_rows(const cf_filter_int8 *f, const int kh, const int kw, const int sh,
                              const int sw, const int together, int first, int rows,
                              int parts, const float *x, const float *w, const float *more, float *y)
{
    const int count = CF_QUADS(kh, sh, together), wide = (CF_BAND - 1) * sw + kw;
    const int reach = (together - 1) * sh + kh;
    const cf_ready *r = (const void *)more;
    v128_t quads[count * wide][4];
    const v128_t(*made)[4] = (const v128_t(*)[4])quads;
    for (int j = 0; j < parts; j++)
        for (int column = 0; column < f->columns; column += CF_BAND) {
            cf_make_quads(f, count, wide, first * sh - f->top, reach, column * sw - f->left,
                          (const cf_byte *)(const void *)x + 16 * j, quads);
            cf_byte *to = (cf_byte *)(void *)(y + ((long)first * f->columns + column) * 16);
            for (int n = 16 * j; n < 16 * j + 16; n += 4)
                CF_UNROLL
                for (int g = 0; g < together; g++) {
                    cf_byte *at = to + (long)g * f->columns * 64 + n;
                    if (g < rows && r->dot)
                        cf_filter_band(f, kh, kw, sh, sw, together, g, 1, r, n, made, w,
                                       f->columns - column, at);
                    else if (g < rows)
                        cf_filter_band(f, kh, kw, sh, sw, together, g, 0, r, n, made, w,
                                       f->columns - column, at);
                }
        }
}

CF_INLINE void cf_order_filters(cf_ready *r, int found, const float *more)
{
    const cf_word *bias = (const void *)more, *shift = (const void *)(more + 64);
    const cf_short *by = (const void *)(more + 128);
    for (int n = 0; n < 64; n++)
        cf_make_ready(r, n, bias[n], shift[n], by[n / 16 * 32 + n % 16 / 4 * 8 + n % 4]);
    r->dot = cf_has_dot();
    if (found)
        memcpy(r->table, more + 192, sizeof r->table);
}
#else
CF_INLINE void cf_filter_rows(const cf_filter_int8 *f, const int kh, const int kw, const int sh,
                              const int sw, const int together, int first, int rows,
                              int parts, const float *x, const float *w, const float *more, float *y)
{
    const int count = CF_QUADS(kh, sh, together);
    const cf_byte *table = (const void *)(more + 192);
    const int8_t *weights = (const void *)w;
    for (int n = 0; n < 16 * parts; n += CF_LANES) {
        cf_ints taps[kh * kw], scale;
        for (int lane = 0; lane < CF_LANES; lane++) {
            const int at = n + lane, j = at / 16, o = at % 16;
            scale[lane] = ((const cf_short *)(const void *)(more + 128))[j * 32 + o / 4 * 8 + o % 4];
            for (int r = 0; r < kh; r++)
                for (int q = 0; q < kw; q++) /* of the first of the rows of a unit */
                    taps[r * kw + q][lane] =
                        weights[4 * (((j * kw + q) * count + r / 4) * together * 16 + o) + r % 4];
        }
        const cf_byte *map = (const cf_byte *)(const void *)x + n;
        const cf_ints start = cf_load_ints(more + n), shift = cf_load_ints(more + 64 + n);
        for (int i = 0; i < rows * f->columns; i++) {
            const int top = (first + i / f->columns) * sh - f->top;
            const int left = i % f->columns * sw - f->left;
            const cf_byte *cell = map + ((long)top * f->width + left) * 64;
            const int whole = top >= 0 && top + kh <= f->height && left >= 0 && left + kw <= f->width;
            cf_ints sum = start;
            CF_UNROLL
            for (int r = 0; r < kh; r++)
                CF_UNROLL
                for (int q = 0; q < kw; q++) {
                    const int h = top + r, v = left + q;
                    if (whole || (h >= 0 && h < f->height && v >= 0 && v < f->width))
                        sum += cf_load_bytes(cell + (r * f->width + q) * 64L) * taps[r * kw + q];
                    else
                        sum += f->zero_in * taps[r * kw + q];
                }
            cf_byte *to = (cf_byte *)(void *)(y + ((long)first * f->columns + i) * 16) + n;
            cf_store_bytes(to, cf_rounded(cf_shorts(sum >> shift), scale), f->largest);
            if (f->found)
                for (int lane = 0; lane < CF_LANES; lane++)
                    to[lane] = table[to[lane]];
        }
    }
}
#endif

/* A unit is `together` output rows of a block. */
CF_INLINE void cf_filter_units(const cf_filter_int8 *f, const int kh, const int kw, const int sh,
                               const int sw, const int together, const float *x, const float *w,
                               const float *more, float *y, int begin, int end)
{
    const int strips = (f->rows + together - 1) / together;
#ifdef CF_WEB
    cf_ready ready;
    int known = -1;
#endif
    for (int unit = begin; unit < end; unit++) {
        const int block = unit / strips, first = unit % strips * together;
        const int rows = f->rows - first < together ? f->rows - first : together;
        const int left = f->channels - block * 64; /* of which the block has 16 a part */
        const float *parameters = more + block * f->more;
#ifdef CF_WEB
        if (block != known)
            cf_order_filters(&ready, f->found, parameters);
        known = block;
        parameters = (const void *)&ready;
#endif
        cf_filter_rows(f, kh, kw, sh, sw, together, first, rows, left < 64 ? (left + 15) / 16 : 4,
                       x + (long)block * f->height * f->width * 16, w + block * f->weights,
                       parameters, y + (long)block * f->rows * f->columns * 16);
    }
}
#endif
