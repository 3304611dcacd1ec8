/* Pooling of one block of 16 channels, [H][W][16]. */
#ifndef CF_POOL
#define CF_POOL
typedef struct {
    int height, width, columns; /* of the map, of the output */
    int kernel_height, kernel_width, stride_height, stride_width, dilation_height, dilation_width;
    int top, left;
} cf_window;

/* The taps of `count` that lie inside a map of `size` when the first one lies at `start`. */
CF_INLINE void cf_inside(int start, int step, int count, int size, int *from, int *to)
{
    *from = start < 0 ? (-start + step - 1) / step : 0;
    *to = size - 1 < start ? 0 : (size - 1 - start) / step + 1;
    *to = *to < count ? *to : count;
}

CF_INLINE void cf_pool_row(const int largest, const cf_window *p, int row, const float *x, float *y,
                           float rows, const float *columns)
{
    const int h = row * p->stride_height - p->top;
    const int step = p->dilation_width * 16;
    int r0, r1;
    cf_inside(h, p->dilation_height, p->kernel_height, p->height, &r0, &r1);
    for (int column = 0; column < p->columns; column++, y += 16) {
        const int w = column * p->stride_width - p->left;
        int q0, q1;
        cf_inside(w, p->dilation_width, p->kernel_width, p->width, &q0, &q1);
        cf_vector value[CF_VECTORS];
        for (int v = 0; v < CF_VECTORS; v++)
            value[v] = cf_every(largest ? -INFINITY : 0.0f);
        for (int r = r0; r < r1; r++) {
            const long row_start = (long)(h + r * p->dilation_height) * p->width;
            const float *cell = x + (row_start + w + q0 * p->dilation_width) * 16;
            for (int q = q0; q < q1; q++, cell += step)
                for (int v = 0; v < CF_VECTORS; v++) {
                    const cf_vector one = cf_load(cell + v * CF_LANES);
                    value[v] = largest ? cf_vector_greatest(value[v], one) : value[v] + one;
                }
        }
        for (int v = 0; v < CF_VECTORS; v++)
            cf_store(y + v * CF_LANES, largest ? value[v] : value[v] / (rows * columns[column]));
    }
}

CF_CALLED void cf_pool_max(const cf_window *p, int row, const float *x, float *y)
{
    cf_pool_row(1, p, row, x, y, 0.0f, NULL);
}

/* `rows` of the row's windows count, and `columns` of each. */
CF_CALLED void cf_pool_average(const cf_window *p, int row, const float *x, float *y, float rows,
                               const float *columns)
{
    cf_pool_row(0, p, row, x, y, rows, columns);
}

/* Four sums, so that none waits for the one before. */
CF_CALLED void cf_pool_mean_all(const float *x, int cells, float *y)
{
    cf_vector sum[4][CF_VECTORS];
    memset(sum, 0, sizeof sum);
    int i = 0;
    for (; i + 4 <= cells; i += 4)
        CF_UNROLL
        for (int k = 0; k < 4; k++)
            CF_UNROLL
            for (int v = 0; v < CF_VECTORS; v++)
                sum[k][v] += cf_load(x + (i + k) * 16L + v * CF_LANES);
    for (; i < cells; i++)
        CF_UNROLL
        for (int v = 0; v < CF_VECTORS; v++)
            sum[0][v] += cf_load(x + i * 16L + v * CF_LANES);
    for (int v = 0; v < CF_VECTORS; v++)
        cf_store(y + v * CF_LANES,
                 (sum[0][v] + sum[1][v] + (sum[2][v] + sum[3][v])) / (float)cells);
}

CF_CALLED void cf_pool_max_all(const float *x, int cells, float *y)
{
    cf_vector value[CF_VECTORS];
    for (int v = 0; v < CF_VECTORS; v++)
        value[v] = cf_every(-INFINITY);
    for (int i = 0; i < cells; i++)
        for (int v = 0; v < CF_VECTORS; v++)
            value[v] = cf_vector_greatest(value[v], cf_load(x + i * 16L + v * CF_LANES));
    for (int v = 0; v < CF_VECTORS; v++)
        cf_store(y + v * CF_LANES, value[v]);
}
#endif

