/* Maps of bf16 between convolutions; pixels of a block are 64 bytes, 32 channels. */
#ifndef CF_MAPS_BF16
#define CF_MAPS_BF16
typedef struct {
    int images, channels;
    long cells;
    int blocked; /* whether the floats are in blocks of 16 channels */
    void (*finish)(float *y, int n);
} cf_moved_bf16;

/* 32 channels of 16 cells, planar: floats [channel][cell]. */
CF_INLINE void cf_turn(const float *x, long cells, int lanes, int count, float *y)
{
    for (int n = 0; n < 32; n++)
        for (int i = 0; i < count; i++)
            y[i * 32 + n] = n < lanes ? x[n * cells + i] : 0.0f;
}

/* A unit is a block of an image. */
CF_CALLED void cf_to_bf16(const cf_moved_bf16 *m, const float *x, float *y, int begin, int end)
{
    const int blocks = (m->channels + 31) / 32, halves = (m->channels + 15) / 16;
    float all[16 * 32] __attribute__((aligned(64)));
    for (int unit = begin; unit < end; unit++) {
        const long image = unit / blocks, block = unit % blocks;
        const int lanes = m->channels - (int)block * 32 < 32 ? m->channels - (int)block * 32 : 32;
        float *to = y + (long)unit * m->cells * 16;
        for (long i = 0; i < m->cells; i += 16) {
            const int count = m->cells - i < 16 ? (int)(m->cells - i) : 16;
            if (m->blocked) {
                const float *from = x + ((image * halves + 2 * block) * m->cells + i) * 16;
                for (int k = 0; k < count; k++) {
                    memcpy(all + k * 32, from + k * 16, 16 * sizeof(float));
                    if (lanes > 16)
                        memcpy(all + k * 32 + 16, from + (m->cells + k) * 16, 16 * sizeof(float));
                    else
                        memset(all + k * 32 + 16, 0, 16 * sizeof(float));
                }
            } else {
                cf_turn(x + (image * m->channels + block * 32) * m->cells + i, m->cells, lanes, count, all);
            }
            if (m->finish)
                m->finish(all, count * 32);
            for (int k = 0; k < count * 32; k += CF_LANES)
                cf_store_bf16((uint16_t *)(void *)(to + i * 16) + k, cf_load(all + k));
        }
    }
}

/* Up to four channels, side by side alone; a unit is 1024 pixels of an image. */
CF_CALLED void cf_picture_to_bf16(const cf_moved_bf16 *m, const float *x, float *y, int begin, int end)
{
    const int pieces = (int)((m->cells + 1023) / 1024);
    const long plane = m->blocked ? 1 : m->cells, step = m->blocked ? 16 : 1;
    for (int unit = begin; unit < end; unit++) {
        const long image = unit / pieces, first = unit % pieces * 1024L;
        const long stop = first + 1024 < m->cells ? first + 1024 : m->cells;
        const float *from = x + image * (m->blocked ? 16 : m->channels) * m->cells;
        uint16_t *to = (uint16_t *)(void *)(y + image * m->cells * 2);
        for (long i = first; i < stop; i += 16) {
            float all[4][16] __attribute__((aligned(64))) = {{0}};
            uint16_t near[4][16];
            const int count = stop - i < 16 ? (int)(stop - i) : 16;
            for (int c = 0; c < m->channels; c++) {
                for (int k = 0; k < count; k++)
                    all[c][k] = from[c * plane + (i + k) * step];
                if (m->finish)
                    m->finish(all[c], 16);
            }
            for (int c = 0; c < 4; c++)
                for (int k = 0; k < 16; k += CF_LANES)
                    cf_store_bf16(near[c] + k, cf_load(all[c] + k));
            for (int k = 0; k < count; k++)
                for (int c = 0; c < 4; c++)
                    to[(i + k) * 4 + c] = near[c][k];
        }
    }
}

/* A unit is a block of an image; `pixel` numbers of a pixel lie side by side. */
CF_CALLED void cf_from_bf16(const cf_moved_bf16 *m, int pixel, const float *x, float *y, int begin,
                            int end)
{
    const int blocks = (m->channels + 31) / 32, halves = (m->channels + 15) / 16;
    for (int unit = begin; unit < end; unit++) {
        const long image = unit / blocks, block = unit % blocks;
        const int lanes = m->channels - (int)block * 32 < 32 ? m->channels - (int)block * 32 : 32;
        const uint16_t *from = (const uint16_t *)(const void *)x + (long)unit * m->cells * pixel;
        for (long i = 0; i < m->cells; i++) {
            float all[32] __attribute__((aligned(64))) = {0};
            uint16_t near[32] = {0};
            memcpy(near, from + i * pixel, sizeof *near * (size_t)(pixel < 32 ? pixel : lanes));
            for (int n = 0; n < 32; n += CF_LANES)
                cf_store(all + n, cf_load_bf16(near + n));
            if (m->finish)
                m->finish(all, 32);
            if (m->blocked) {
                float *to = y + ((image * halves + 2 * block) * m->cells + i) * 16;
                memcpy(to, all, 16 * sizeof(float));
                if (lanes > 16)
                    memcpy(to + m->cells * 16, all + 16, 16 * sizeof(float));
            } else {
                float *to = y + (image * m->channels + block * 32) * m->cells + i;
                for (int n = 0; n < lanes; n++)
                    to[n * m->cells] = all[n];
            }
        }
    }
}

/* The largest of the cells of a window; a unit is a row of a block. */
CF_CALLED void cf_pool_bf16_units(const cf_window *p, int rows, const float *x, float *y, int begin,
                                  int end)
{
    for (int unit = begin; unit < end; unit++) {
        const int h = unit % rows * p->stride_height - p->top;
        const float *map = x + (long)(unit / rows) * p->height * p->width * 16;
        float *to = y + (long)unit * p->columns * 16;
        int r0, r1;
        cf_inside(h, p->dilation_height, p->kernel_height, p->height, &r0, &r1);
        for (int column = 0; column < p->columns; column++, to += 16) {
            const int w = column * p->stride_width - p->left;
            int q0, q1;
            cf_inside(w, p->dilation_width, p->kernel_width, p->width, &q0, &q1);
            cf_vector most[2 * CF_VECTORS];
            for (int v = 0; v < 2 * CF_VECTORS; v++)
                most[v] = cf_every(-INFINITY);
            for (int r = r0; r < r1; r++)
                for (int q = q0; q < q1; q++) {
                    const float *cell = map + ((long)(h + r * p->dilation_height) * p->width + w +
                                               q * p->dilation_width) * 16;
                    for (int v = 0; v < 2 * CF_VECTORS; v++)
                        most[v] = cf_vector_greatest(most[v], cf_load_bf16(cell + v * CF_LANES / 2));
                }
            cf_store_bf16_block(to, most);
        }
    }
}

/* The mean of each map; a unit is a block of an image. */
CF_CALLED void cf_mean_bf16(int channels, long cells, void (*finish)(float *y, int n), const float *x,
                            float *y, int begin, int end)
{
    const int blocks = (channels + 31) / 32;
    for (int unit = begin; unit < end; unit++) {
        const int first = unit % blocks * 32, left = channels - first;
        const float *from = x + (long)unit * cells * 16;
        float mean[32] __attribute__((aligned(64)));
        /* Four sums, so that none waits for the one before. */
        for (int v = 0; v < 2 * CF_VECTORS; v++) {
            cf_vector sum[4] = {cf_every(0.0f), cf_every(0.0f), cf_every(0.0f), cf_every(0.0f)};
            for (long i = 0; i < cells; i++)
                sum[i & 3] += cf_load_bf16(from + i * 16 + v * CF_LANES / 2);
            cf_store(mean + v * CF_LANES, (sum[0] + sum[1] + (sum[2] + sum[3])) / (float)cells);
        }
        if (finish)
            finish(mean, 32);
        memcpy(y + (long)(unit / blocks) * channels + first, mean,
               sizeof(float) * (size_t)(left < 32 ? left : 32));
    }
}

/* Maps times a factor each; a unit is a block. */
CF_CALLED void cf_gate_bf16(int channels, long cells, const float *x, const float *factor, float *y,
                            int begin, int end)
{
    for (int block = begin; block < end; block++) {
        const int left = channels - block * 32;
        const float *from = x + block * cells * 16;
        float *to = y + block * cells * 16;
        float by[32] __attribute__((aligned(64))) = {0};
        memcpy(by, factor + block * 32, sizeof(float) * (size_t)(left < 32 ? left : 32));
        for (long i = 0; i < cells * 16; i += 16) {
            cf_vector value[2 * CF_VECTORS];
            CF_UNROLL
            for (int v = 0; v < 2 * CF_VECTORS; v++)
                value[v] = cf_load_bf16(from + i + v * CF_LANES / 2) * cf_load(by + v * CF_LANES);
            cf_store_bf16_block(to + i, value);
        }
    }
}
#endif

