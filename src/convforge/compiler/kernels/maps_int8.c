
/* Maps of bytes between convolutions; pixels of a block are 64 bytes. */
#ifndef CF_MAPS_INT8
#define CF_MAPS_INT8
/* The nearest whole number, halves to the even one, as a byte: 1.5 * 2^23 leaves no bits behind
 * the point. */
CF_INLINE int cf_byte_near(float x, int zero, int top)
{
    const float bounded = x < -1024.0f ? -1024.0f : x > 1024.0f ? 1024.0f : x;
    const int byte = (int)(bounded + 12582912.0f - 12582912.0f) + zero;
    return byte < 0 ? 0 : byte > top ? top : byte;
}

/* Up to four channels, a word a pixel; a unit is 1024 pixels. */
CF_CALLED void cf_quantize_words(int channels, long cells, int blocked, float scale, int zero,
                                 int top, const float *x, float *y, int begin, int end)
{
    const long step = blocked ? 16 : 1, plane = blocked ? 1 : cells;
    const long stop = end * 1024L < cells ? end * 1024L : cells;
    long i = begin * 1024L;
    for (; !blocked && i + CF_LANES <= stop; i += CF_LANES) {
        cf_ints word = {0};
        for (int c = 0; c < channels; c++) {
            cf_vector value;
            memcpy(&value, x + c * cells + i, sizeof value);
            value = cf_vector_min(cf_every(1024.0f), cf_vector_max(cf_every(-1024.0f), value * scale));
            const cf_ints near =
                __builtin_convertvector(value + 12582912.0f - 12582912.0f, cf_ints) + zero;
            word |= cf_between(cf_each(0), near, cf_each(top)) << (8 * c);
        }
        memcpy(y + i, &word, sizeof word);
    }
    for (; i < stop; i++) {
        unsigned word = 0;
        for (int c = 0; c < channels; c++)
            word |= (unsigned)cf_byte_near(x[c * plane + i * step] * scale, zero, top) << (8 * c);
        memcpy(y + i, &word, sizeof word);
    }
}

CF_CALLED void cf_quantize(int channels, long cells, int blocked, float scale, int zero, int top,
                           const float *x, float *y, int begin, int end)
{
    for (int block = begin; block < end; block++) {
        cf_byte *to = (cf_byte *)(void *)y + block * cells * 64;
        const int count = channels - block * 64 < 64 ? channels - block * 64 : 64;
        for (int c = 0; c < count; c += 16)
            for (long i = 0; i < cells; i++)
                for (int n = 0; n < 16; n++) {
                    const int channel = block * 64 + c + n;
                    const float value = blocked ? x[(channel / 16 * cells + i) * 16 + n]
                                        : channel < channels ? x[channel * cells + i]
                                                             : 0.0f;
                    to[i * 64 + c + n] = (cf_byte)cf_byte_near(value * scale, zero, top);
                }
    }
}

CF_CALLED void cf_dequantize(int channels, long cells, int pixel, int blocked, float scale,
                             int zero, const float *x, float *y, int begin, int end)
{
    for (int block = begin; block < end; block++) {
        const cf_byte *from = (const cf_byte *)(const void *)x + block * cells * 64;
        const int count = channels - block * 64 < 64 ? channels - block * 64 : 64;
        for (int n = 0; n < count; n++) {
            const int channel = block * 64 + n;
            for (long i = 0; i < cells; i++) {
                const float value = (float)(from[i * pixel + n] - zero) * scale;
                if (blocked)
                    y[(channel / 16 * cells + i) * 16 + channel % 16] = value;
                else
                    y[channel * cells + i] = value;
            }
        }
    }
}

typedef struct {
    int height, width, rows, columns, kernel[2], stride[2], dilation[2], padding[2];
} cf_pool_int8;

/* A unit is a row of a block. */
CF_CALLED void cf_pool_int8_units(const cf_pool_int8 *p, const float *x, float *y, int begin, int end)
{
    for (int unit = begin; unit < end; unit++) {
        const int block = unit / p->rows, row = unit % p->rows;
        const cf_byte *map = (const cf_byte *)(const void *)x + (long)block * p->height * p->width * 64;
        cf_byte *to = (cf_byte *)(void *)y + (long)unit * p->columns * 64;
        for (int column = 0; column < p->columns; column++, to += 64) {
            cf_byte most[64] = {0};
            for (int r = 0; r < p->kernel[0]; r++) {
                const int h = row * p->stride[0] + r * p->dilation[0] - p->padding[0];
                if (h < 0 || h >= p->height)
                    continue;
                for (int q = 0; q < p->kernel[1]; q++) {
                    const int v = column * p->stride[1] + q * p->dilation[1] - p->padding[1];
                    if (v < 0 || v >= p->width)
                        continue;
                    const cf_byte *cell = map + ((long)h * p->width + v) * 64;
                    for (int n = 0; n < 64; n++)
                        most[n] = cell[n] > most[n] ? cell[n] : most[n];
                }
            }
            memcpy(to, most, sizeof most);
        }
    }
}

CF_CALLED void cf_gate_int8(int channels, long cells, int zero_in, int zero, int top, float ratio,
                            const float *x, const float *factor, float *y, int begin, int end)
{
    for (int block = begin; block < end; block++) {
        const cf_byte *from = (const cf_byte *)(const void *)x + block * cells * 64;
        cf_byte *to = (cf_byte *)(void *)y + block * cells * 64;
        int16_t by[64];
        for (int n = 0; n < 64; n++) {
            const int channel = block * 64 + n;
            const float wide = channel < channels ? factor[channel] * ratio : 0.0f;
            const float bounded = wide < -32767.0f ? -32767.0f : wide > 32767.0f ? 32767.0f : wide;
            by[n] = (int16_t)((int)(bounded + 12582912.0f - 12582912.0f));
        }
#ifdef CF_VNNI
        const __m512i in = _mm512_set1_epi16((short)zero_in), out = _mm512_set1_epi16((short)zero);
        const __m512i low = _mm512_loadu_si512(by), high = _mm512_loadu_si512(by + 32);
        const __m512i round = _mm512_set1_epi16(1 << 11), most = _mm512_set1_epi8((char)top);
        const __m512i order = _mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7);
        for (long i = 0; i < cells; i++) {
            const __m512i a = _mm512_cvtepu8_epi16(_mm256_loadu_si256((const void *)(from + i * 64)));
            const __m512i b =
                _mm512_cvtepu8_epi16(_mm256_loadu_si256((const void *)(from + i * 64 + 32)));
            const __m512i fine_a =
                _mm512_mulhrs_epi16(_mm512_slli_epi16(_mm512_sub_epi16(a, in), 7), low);
            const __m512i fine_b =
                _mm512_mulhrs_epi16(_mm512_slli_epi16(_mm512_sub_epi16(b, in), 7), high);
            const __m512i bytes = _mm512_packus_epi16(
                _mm512_add_epi16(_mm512_mulhrs_epi16(fine_a, round), out),
                _mm512_add_epi16(_mm512_mulhrs_epi16(fine_b, round), out));
            _mm512_storeu_si512(to + i * 64, _mm512_permutexvar_epi64(order, _mm512_min_epu8(bytes, most)));
        }
#elif defined(CF_WEB)
        const v128_t in = wasm_i16x8_splat((short)zero_in), out = wasm_i16x8_splat((short)zero);
        const v128_t round = wasm_i16x8_splat(1 << 11), most = wasm_i8x16_splat((signed char)top);
        const int used = channels - block * 64 < 64 ? channels - block * 64 : 64;
        for (int n = 0; n < used; n += 16) {
            const v128_t first = wasm_v128_load(by + n), second = wasm_v128_load(by + n + 8);
            for (long i = n; i < cells * 64; i += 64) {
                const v128_t both = wasm_v128_load(from + i);
                v128_t a = wasm_i16x8_sub(wasm_u16x8_extend_low_u8x16(both), in);
                v128_t b = wasm_i16x8_sub(wasm_u16x8_extend_high_u8x16(both), in);
                a = cf_shares(cf_shares(wasm_i16x8_shl(a, 7), first), round);
                b = cf_shares(cf_shares(wasm_i16x8_shl(b, 7), second), round);
                const v128_t bytes =
                    wasm_u8x16_narrow_i16x8(wasm_i16x8_add(a, out), wasm_i16x8_add(b, out));
                wasm_v128_store(to + i, wasm_u8x16_min(bytes, most));
            }
        }
#else
        for (int n = 0; n < 64; n += CF_LANES) {
            cf_ints each;
            for (int lane = 0; lane < CF_LANES; lane++)
                each[lane] = by[n + lane];
            for (long i = 0; i < cells; i++) {
                const cf_ints cell = cf_load_bytes(from + i * 64 + n) - zero_in;
                const cf_ints fine = cf_rounded(cell << 7, each);
                cf_store_bytes(to + i * 64 + n, cf_rounded(fine, cf_each(1 << 11)) + zero, top);
            }
        }
#endif
    }
}

CF_CALLED void cf_mean_int8(int channels, long cells, float scale, int zero, const float *x,
                            float *y, int begin, int end)
{
    for (int block = begin; block < end; block++) {
        const cf_byte *from = (const cf_byte *)(const void *)x + block * cells * 64;
        int total[64] = {0};
        for (long i = 0; i < cells; i++)
            for (int n = 0; n < 64; n++)
                total[n] += from[i * 64 + n];
        for (int n = 0; n < 64 && block * 64 + n < channels; n++)
            y[block * 64 + n] = (float)(total[n] - zero * (int)cells) * scale;
    }
}

/* Sums over whole maps, 16 outputs at a time: weights [16 outputs][word as the map lies][16][4]. */
typedef struct {
    int blocks, pixels, words, last; /* words of a pixel, and how many the last block's have */
    int outputs, zero_in;
} cf_linear_int8_sizes;

/* What `words` words of a pixel add to the sums of 16 outputs. */
#ifdef CF_VNNI
typedef __m512i cf_sums16[4];

CF_INLINE void cf_add_words(__m512i *sum, int words, const float *x, const float *w)
{
    int k = 0;
    for (; k + 4 <= words; k += 4)
        CF_UNROLL
        for (int i = 0; i < 4; i++) {
            __builtin_prefetch(w + (k + i) * 16 + 1024);
            sum[i] = cf_dot(sum[i], _mm512_set1_epi32(*(const cf_word *)(const void *)(x + k + i)),
                            _mm512_loadu_si512(w + (k + i) * 16));
        }
    for (; k < words; k++)
        sum[0] = cf_dot(sum[0], _mm512_set1_epi32(*(const cf_word *)(const void *)(x + k)),
                        _mm512_loadu_si512(w + k * 16));
}

CF_INLINE void cf_sum_up(const __m512i *sum, int32_t *total)
{
    _mm512_storeu_si512(total, _mm512_add_epi32(_mm512_add_epi32(sum[0], sum[1]),
                                                _mm512_add_epi32(sum[2], sum[3])));
}
#elif defined(CF_WEB)
typedef cf_four cf_sums16[4];

CF_INLINE void cf_add_words(cf_four *sum, int words, const float *x, const float *w)
{
    for (int k = 0; k < words; k++) {
        const cf_four word = cf_load_word(x + k);
        CF_UNROLL
        for (int v = 0; v < 4; v++)
            cf_dots(0, &sum[v], word, cf_load_four(w + k * 16 + v * 4));
    }
}

CF_INLINE void cf_sum_up(const cf_four *sum, int32_t *total)
{
    for (int v = 0; v < 4; v++)
        wasm_v128_store(total + 4 * v, cf_whole(sum[v]));
}
#else
typedef cf_ints cf_sums16[CF_VECTORS];

CF_INLINE void cf_add_words(cf_ints *sum, int words, const float *x, const float *w)
{
    for (int k = 0; k < words; k++) {
        const cf_byte *word = (const void *)(x + k);
        for (int v = 0; v < CF_VECTORS; v++) {
            const cf_ints four = cf_load_ints(w + k * 16 + v * CF_LANES);
            sum[v] += (four << 24 >> 24) * word[0] + (four << 16 >> 24) * word[1] +
                      (four << 8 >> 24) * word[2] + (four >> 24) * word[3];
        }
    }
}

CF_INLINE void cf_sum_up(const cf_ints *sum, int32_t *total)
{
    memcpy(total, sum, 16 * sizeof *total);
}
#endif

CF_CALLED void cf_linear_int8(const cf_linear_int8_sizes *s, const float *x, const float *w,
                              const float *bias, const float *scale, const float *sums,
                              void (*finish)(float *y, int n), float *y, int begin, int end)
{
    const long words = (long)s->pixels * ((s->blocks - 1) * s->words + s->last);
    for (int group = begin; group < end; group++) {
        const float *row = w + group * words * 16, *from = x;
        cf_sums16 sum;
        memset(&sum, 0, sizeof sum);
        for (int block = 0; block < s->blocks; block++) {
            const int count = block == s->blocks - 1 ? s->last : s->words;
            for (int i = 0; i < s->pixels; i++, from += s->words, row += count * 16)
                cf_add_words(sum, count, from, row);
        }
        int32_t total[16];
        cf_sum_up(sum, total);
        const cf_word *all = (const cf_word *)(const void *)sums + group * 16;
        float result[16] __attribute__((aligned(64)));
        for (int n = 0; n < 16; n++)
            result[n] = (float)(total[n] - s->zero_in * all[n]) * scale[group * 16 + n] +
                        bias[group * 16 + n];
        if (finish)
            finish(result, 16);
        const int left = s->outputs - group * 16;
        memcpy(y + group * 16, result, sizeof(float) * (size_t)(left < 16 ? left : 16));
    }
}
#endif
