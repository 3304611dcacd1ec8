/* Products of one input vector with blocks of 16 outputs, weights [block][input][16].
 *
 * Several blocks at a time, so that sums do not wait for each other and memory is read in as many
 * streams; every 256 inputs have a sum of their own. */
#define CF_STREAMS (CF_VECTORS > 2 ? 2 : 4)
#define CF_RUN 256
#define CF_AHEAD 16 /* lines of 16 weights, of each stream */

CF_INLINE void cf_linear_blocks(const int blocks, int inputs, const float *restrict x,
                                const float *restrict w, const float *restrict bias,
                                float *restrict y)
{
    const long block = inputs * 16L;
    cf_vector sum[CF_STREAMS * CF_VECTORS];
    CF_UNROLL
    for (int v = 0; v < blocks * CF_VECTORS; v++)
        sum[v] = cf_load(bias + v * CF_LANES);
    for (int from = 0; from < inputs; from += CF_RUN) {
        const int to = from + CF_RUN < inputs ? from + CF_RUN : inputs;
        cf_vector part[CF_STREAMS * CF_VECTORS];
        CF_UNROLL
        for (int v = 0; v < blocks * CF_VECTORS; v++)
            part[v] = cf_every(0.0f);
        for (int i = from; i < to; i++, w += 16) {
            CF_UNROLL
            for (int b = 0; b < blocks; b++)
                __builtin_prefetch(w + b * block + CF_AHEAD * 16);
            CF_UNROLL
            for (int v = 0; v < blocks * CF_VECTORS; v++)
                part[v] += x[i] * cf_load(w + v / CF_VECTORS * block + v % CF_VECTORS * CF_LANES);
        }
        CF_UNROLL
        for (int v = 0; v < blocks * CF_VECTORS; v++)
            sum[v] += part[v];
    }
    CF_UNROLL
    for (int v = 0; v < blocks * CF_VECTORS; v++)
        cf_store(y + v * CF_LANES, sum[v]);
}

/* Blocks `begin` to `end` - 1 of one row; the last one may have fewer than 16 outputs. */
CF_CALLED void cf_linear_row(int inputs, int outputs, const float *x, const float *w,
                             const float *bias, void (*finish)(float *y, int n), float *y,
                             int begin, int end)
{
    float result[CF_STREAMS * 16] __attribute__((aligned(64)));
    for (int block = begin; block < end;) {
        const int blocks = block + CF_STREAMS <= end ? CF_STREAMS : 1;
        const float *from = w + (long)block * inputs * 16;
        if (blocks == CF_STREAMS)
            cf_linear_blocks(CF_STREAMS, inputs, x, from, bias + block * 16, result);
        else
            cf_linear_blocks(1, inputs, x, from, bias + block * 16, result);
        const int left = outputs - block * 16, count = left < blocks * 16 ? left : blocks * 16;
        if (finish)
            finish(result, blocks * 16);
        memcpy(y + block * 16, result, (size_t)count * sizeof(float));
        block += blocks;
    }
}
