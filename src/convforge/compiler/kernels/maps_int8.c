
/* Maps of bytes between convolutions; pixels of a block are 64 bytes. */
#ifndef CF_MAPS_INT8
#define CF_MAPS_INT8
/* The nearest whole number, halves to the even one, as a byte: 1.5 * 2^23 leaves no bits behind
 * the point. */
CF_INLINE int cf_byte_near(float x, int zero)
{
    const float bounded = x < -1024.0f ? -1024.0f : x > 1024.0f ? 1024.0f : x;
    const int byte = (int)(bounded + 12582912.0f - 12582912.0f) + zero;
    return byte < 0 ? 0 : byte > 255 ? 255 : byte;
}

/* Up to four channels, a word a pixel; a unit is 1024 pixels. */
CF_CALLED void cf_quantize_words(int channels, long cells, int blocked, float scale, int zero,
                                 const float *x, float *y, int begin, int end)
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
            word |= cf_between(cf_each(0), near, cf_each(255)) << (8 * c);
        }
        memcpy(y + i, &word, sizeof word);
    }
    for (; i < stop; i++) {
        unsigned word = 0;
        for (int c = 0; c < channels; c++)
            word |= (unsigned)cf_byte_near(x[c * plane + i * step] * scale, zero) << (8 * c);
        memcpy(y + i, &word, sizeof word);
    }
}

CF_CALLED void cf_quantize(int channels, long cells, int blocked, float scale, int zero,
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
                    to[i * 64 + c + n] = (cf_byte)cf_byte_near(value * scale, zero);
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

/* Channels of one block behind those that were put before. */
CF_CALLED void cf_put_channels(long cells, int pixel, int count, int first, const float *x, float *y)
{
    const cf_byte *from = (const void *)x;
    cf_byte *to = (cf_byte *)(void *)y + first / 64 * cells * 64 + first % 64;
    const int here = count < 64 - first % 64 ? count : 64 - first % 64;
    for (long i = 0; i < cells; i++) {
        memcpy(to + i * 64, from + i * pixel, (size_t)here);
        if (here < count)
            memcpy(to + (cells + i) * 64 - first % 64, from + i * pixel + here, (size_t)(count - here));
    }
}

CF_CALLED void cf_gate_int8(int channels, long cells, int zero_in, int zero, float ratio,
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
        const __m512i round = _mm512_set1_epi16(1 << 11);
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
            _mm512_storeu_si512(to + i * 64, _mm512_permutexvar_epi64(order, bytes));
        }
#else
        for (int n = 0; n < 64; n += CF_LANES) {
            cf_ints each;
            for (int lane = 0; lane < CF_LANES; lane++)
                each[lane] = by[n + lane];
            for (long i = 0; i < cells; i++) {
                const cf_ints cell = cf_load_bytes(from + i * 64 + n) - zero_in;
                const cf_ints fine = cf_rounded(cell << 7, each);
                cf_store_bytes(to + i * 64 + n, cf_rounded(fine, cf_each(1 << 11)) + zero);
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

/* Outputs of one vector of bytes, 16 at a time: weights [16 outputs][four inputs][16][4]. */
CF_CALLED void cf_linear_int8(int inputs, int outputs, int zero_in, const float *x, const float *w,
                              const float *bias, const float *scale, const cf_word *weights_sum,
                              void (*finish)(float *y, int n), long pixel, float *y, int begin,
                              int end)
{
    const int words = (inputs + 3) / 4;
    for (int block = begin; block < end; block++) {
        const float *row = w + (long)block * words * 16;
        float result[16] __attribute__((aligned(64)));
#ifdef CF_VNNI
        __m512i part[4];
        for (int i = 0; i < 4; i++)
            part[i] = _mm512_setzero_si512();
        for (int k = 0; k < words; k += 4)
            CF_UNROLL
            for (int i = 0; i < 4; i++)
                if (k + i < words) {
                    const cf_word *word = (const void *)(x + (k + i) / 16 * pixel + (k + i) % 16);
                    __builtin_prefetch(row + (k + i) * 16 + 1024);
                    part[i] = cf_dot(part[i], _mm512_set1_epi32(*word),
                                     _mm512_loadu_si512(row + (k + i) * 16));
                }
        int32_t sum[16];
        _mm512_storeu_si512(sum, _mm512_add_epi32(_mm512_add_epi32(part[0], part[1]),
                                                  _mm512_add_epi32(part[2], part[3])));
#else
        int32_t sum[16];
        for (int n = 0; n < 16; n += CF_LANES) {
            cf_ints all = {0};
            for (int k = 0; k < words; k++) {
                const cf_byte *word = (const void *)(x + k / 16 * pixel + k % 16);
                const cf_ints four = cf_load_ints(row + k * 16 + n);
                all += (four << 24 >> 24) * word[0] + (four << 16 >> 24) * word[1] +
                       (four << 8 >> 24) * word[2] + (four >> 24) * word[3];
            }
            memcpy(sum + n, &all, sizeof all);
        }
#endif
        for (int n = 0; n < 16; n++) {
            const int at = block * 16 + n;
            result[n] = (float)(sum[n] - zero_in * weights_sum[at]) * scale[at] + bias[at];
        }
        if (finish)
            finish(result, 16);
        const int left = outputs - block * 16;
        memcpy(y + block * 16, result, sizeof(float) * (size_t)(left < 16 ? left : 16));
    }
}
#endif
