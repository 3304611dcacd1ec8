/* Products of one input vector with groups of up to 4 blocks of 16 outputs, weights
 * [group][input][block of the group][16]: memory is read from the front to the back, and the sums of
 * several blocks do not wait for each other. Every 256 inputs have a sum of their own. */
#define CF_GROUP 4
#define CF_STREAMS (CF_VECTORS > 2 ? 2 : 4) /* blocks at a time */
#define CF_RUN 256
#define CF_AHEAD 1024 /* floats */

CF_INLINE void cf_linear_blocks(const int blocks, int inputs, int step, const float *restrict x,
                                const float *restrict w, const float *restrict bias,
                                float *restrict y)
{
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
        for (int i = from; i < to; i++, w += step) {
            CF_UNROLL
            for (int b = 0; b < blocks; b++)
                __builtin_prefetch(w + CF_AHEAD + b * 16);
            CF_UNROLL
            for (int v = 0; v < blocks * CF_VECTORS; v++)
                part[v] += x[i] * cf_load(w + v * CF_LANES);
        }
        CF_UNROLL
        for (int v = 0; v < blocks * CF_VECTORS; v++)
            sum[v] += part[v];
    }
    CF_UNROLL
    for (int v = 0; v < blocks * CF_VECTORS; v++)
        cf_store(y + v * CF_LANES, sum[v]);
}

/* Groups `begin` to `end` - 1 of one row; the last block may have fewer than 16 outputs. */
CF_CALLED void cf_linear_row(int inputs, int outputs, const float *x, const float *w,
                             const float *bias, void (*finish)(float *y, int n), float *y,
                             int begin, int end)
{
    float result[CF_GROUP * 16] __attribute__((aligned(64)));
    for (int group = begin; group < end; group++) {
        const int first = group * CF_GROUP * 16, left = outputs - first;
        const int count = left < CF_GROUP * 16 ? left : CF_GROUP * 16, blocks = (count + 15) / 16;
        const float *from = w + (long)first * inputs;
        int done = 0;
        for (; done + CF_STREAMS <= blocks; done += CF_STREAMS)
            cf_linear_blocks(CF_STREAMS, inputs, blocks * 16, x, from + done * 16,
                             bias + first + done * 16, result + done * 16);
        for (; done < blocks; done++)
            cf_linear_blocks(1, inputs, blocks * 16, x, from + done * 16, bias + first + done * 16,
                             result + done * 16);
        if (finish)
            finish(result, blocks * 16);
        memcpy(y + first, result, (size_t)count * sizeof(float));
    }
}
