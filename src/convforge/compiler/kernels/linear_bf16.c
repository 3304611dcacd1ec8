/* Fully connected layers of bf16: weights [32 outputs][pair of inputs][32][2]. */
#ifndef CF_LINEAR_BF16
#define CF_LINEAR_BF16
#define CF_PHASES 4 /* sums of an output, so that none waits for the one before */

CF_INLINE void cf_linear_pairs(int pairs, const float *x, const float *w, cf_vector *total)
{
    for (int from = 0; from < 2 * CF_VECTORS; from += 2) {
        cf_vector sum[CF_PHASES][2];
        CF_UNROLL
        for (int i = 0; i < CF_PHASES; i++)
            sum[i][0] = sum[i][1] = cf_every(0.0f);
        for (int k = 0; k < pairs; k += CF_PHASES)
            CF_UNROLL
            for (int i = 0; i < CF_PHASES; i++) {
                if (k + i >= pairs)
                    break;
                const cf_ints pair = cf_each(*(const cf_word *)(const void *)(x + k + i));
                const float *row = w + (k + i) * 32L + from * CF_LANES;
                __builtin_prefetch(row + 2048);
                CF_UNROLL
                for (int v = 0; v < 2; v++) {
                    const cf_ints both = cf_load_ints(row + v * CF_LANES);
#ifdef CF_PAIR_PRODUCTS
                    sum[i][v] = cf_dot_pairs(sum[i][v], pair, both);
#else
                    sum[i][v] += cf_first(pair) * cf_first(both);
                    sum[i][v] += cf_second(pair) * cf_second(both);
#endif
                }
            }
        CF_UNROLL
        for (int v = 0; v < 2; v++)
            total[from + v] = sum[0][v] + sum[1][v] + (sum[2][v] + sum[3][v]);
    }
}

/* Groups `begin` to `end` - 1 of 32 outputs. */
CF_CALLED void cf_linear_bf16(int pairs, int outputs, const float *x, const float *w,
                              const float *bias, void (*finish)(float *y, int n), float *y, int begin,
                              int end)
{
    for (int group = begin; group < end; group++) {
        cf_vector total[2 * CF_VECTORS];
        float result[32] __attribute__((aligned(64)));
        cf_linear_pairs(pairs, x, w + (long)group * pairs * 32, total);
        for (int v = 0; v < 2 * CF_VECTORS; v++)
            cf_store(result + v * CF_LANES, total[v] + cf_load(bias + group * 32 + v * CF_LANES));
        if (finish)
            finish(result, 32);
        const int left = outputs - group * 32;
        memcpy(y + group * 32, result, sizeof(float) * (size_t)(left < 32 ? left : 32));
    }
}
#endif

