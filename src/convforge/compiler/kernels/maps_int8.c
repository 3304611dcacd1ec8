
/* Maps of bytes between convolutions; pixels of a block are 64 bytes. */
#ifndef CF_MAPS_INT8
#define CF_MAPS_INT8
/* Halves to the even one: adding 1.5 * 2^23 leaves no bits behind the point. */
CF_INLINE int cf_nearest(float x)
{
    const float bounded = x < -1024.0f ? -1024.0f : x > 1024.0f ? 1024.0f : x;
    const float shifted = bounded + 12582912.0f;
    int bits;
    memcpy(&bits, &shifted, sizeof bits);
    return bits - 0x4b400000;
}

/* Up to four channels, a word a pixel. */
CF_CALLED void cf_quantize_words(int channels, long cells, int blocked, float scale, int zero,
                                 const float *x, float *y, int begin, int end)
{
    cf_byte *to = (void *)y;
    for (int unit = begin; unit < end; unit++)
        for (int c = 0; c < 4; c++)
            for (long i = 0; i < cells; i++) {
                const float value = c < channels ? blocked ? x[i * 16 + c] : x[c * cells + i] : 0.0f;
                to[i * 4 + c] = cf_byte_of(cf_nearest(value * scale) + zero);
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
                    to[i * 64 + c + n] = cf_byte_of(cf_nearest(value * scale) + zero);
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
        for (long i = 0; i < cells; i++)
            for (int n = 0; n < 64; n++) {
                const int fine = cf_rounded((from[i * 64 + n] - zero_in) * 128, by[n]);
                to[i * 64 + n] = cf_byte_of(cf_rounded(fine, 1 << 11) + zero);
            }
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
#endif
