/* Convolutions in tiles of pixels x output channels that stay in registers.
 *
 * Output channels come in panels of 16, the same for every instruction set, so that one packing of
 * the weights serves all: [group][panel][IC / groups][KH][KW][16]. A tile is as large as the vector
 * registers allow: PIXELS x PANELS * 16 sums, one vector of weights each, one pixel broadcast. */
#if defined(__AVX512F__)
#define CF_LANES 16 /* 28 sums + 2 weights + 1 pixel of 32 registers */
#define CF_PIXELS 14
#define CF_PANELS 2
#elif defined(__AVX2__)
#define CF_LANES 8 /* 12 sums + 2 weights + 1 pixel of 16 registers */
#define CF_PIXELS 6
#define CF_PANELS 1
#elif defined(__ARM_NEON)
#define CF_LANES 4 /* 24 sums + 4 weights + 1 pixel of 32 registers */
#define CF_PIXELS 6
#define CF_PANELS 1
#else
#define CF_LANES 4 /* 8 sums + 4 weights + 1 pixel of 16 registers */
#define CF_PIXELS 2
#define CF_PANELS 1
#endif
#define CF_VECTORS (16 / CF_LANES) /* in one panel */
#define CF_INLINE static inline __attribute__((always_inline, unused))
#define CF_UNROLL _Pragma("GCC unroll 32")

CF_INLINE float cf_identity(float x)
{
    return x;
}

typedef float cf_vector __attribute__((vector_size(4 * CF_LANES)));

/* `width` and `height` are those of the map that is read, padding included. */
typedef struct {
    int groups, channels, maps; /* input channels and output maps of one group */
    int height, width;
    int kernel_height, kernel_width, stride_height, stride_width, dilation_height, dilation_width;
    int rows, columns; /* of the output */
} cf_conv;

/* One tile: sums[pixel][panel * 16] of `pixels` neighbours in one output row. All of `conv`,
 * `pixels` and `panels` are constants where this is inlined, so the loops marked so vanish. */
CF_INLINE void cf_conv_tile(const cf_conv conv, const int pixels, const int panels,
                            const float *restrict x, const float *restrict w,
                            const float *restrict bias, float *restrict sums)
{
    cf_vector sum[CF_PIXELS][CF_PANELS * CF_VECTORS];
    const long panel = 16L * conv.channels * conv.kernel_height * conv.kernel_width;
    CF_UNROLL
    for (int p = 0; p < pixels; p++)
        CF_UNROLL
        for (int v = 0; v < panels * CF_VECTORS; v++)
            sum[p][v] = *(const cf_vector *)(const void *)(bias + v * CF_LANES);
    for (int i = 0; i < conv.channels; i++)
        for (int r = 0; r < conv.kernel_height; r++)
            for (int q = 0; q < conv.kernel_width; q++) {
                const float *cell = x + ((long)i * conv.height + r * conv.dilation_height) *
                                            conv.width + q * conv.dilation_width;
                cf_vector tap[CF_PANELS * CF_VECTORS];
                CF_UNROLL
                for (int v = 0; v < panels * CF_VECTORS; v++)
                    tap[v] = *(const cf_vector *)(const void *)(w + v / CF_VECTORS * panel +
                                                                v % CF_VECTORS * CF_LANES);
                CF_UNROLL
                for (int p = 0; p < pixels; p++)
                    CF_UNROLL
                    for (int v = 0; v < panels * CF_VECTORS; v++)
                        sum[p][v] += cell[p * conv.stride_width] * tap[v];
                w += 16;
            }
    CF_UNROLL
    for (int p = 0; p < pixels; p++)
        CF_UNROLL
        for (int v = 0; v < panels * CF_VECTORS; v++)
            *(cf_vector *)(void *)(sums + (p * panels + v / CF_VECTORS) * 16 +
                                   v % CF_VECTORS * CF_LANES) = sum[p][v];
}

/* A tile and its way to the output [maps][rows][columns], through the epilogue. */
CF_INLINE void cf_conv_store(const cf_conv conv, const int pixels, const int panels,
                             float (*const epilogue)(float), const float *restrict x,
                             const float *restrict w, const float *restrict bias, const int maps,
                             float *restrict y)
{
    float sums[CF_PIXELS * CF_PANELS * 16] __attribute__((aligned(64)));
    cf_conv_tile(conv, pixels, panels, x, w, bias, sums);
    for (int k = 0; k < pixels * panels * 16; k++)
        sums[k] = epilogue(sums[k]);
    for (int o = 0; o < maps; o++)
        for (int p = 0; p < pixels; p++)
            y[(long)o * conv.rows * conv.columns + p] = sums[p * panels * 16 + o];
}

/* All pixels of `panels` panels; a row is cut into tiles whose sizes differ by one at most. */
CF_INLINE void cf_conv_panels(const cf_conv conv, const int panels, float (*const epilogue)(float),
                              const float *restrict x, const float *restrict w,
                              const float *restrict bias, const int maps, float *restrict y)
{
    const int tiles = (conv.columns + CF_PIXELS - 1) / CF_PIXELS;
    const int small = conv.columns / tiles, large = conv.columns % tiles;
    for (int h = 0; h < conv.rows; h++) {
        const float *line = x + (long)h * conv.stride_height * conv.width;
        float *out = y + (long)h * conv.columns;
        for (int t = 0; t < large; t++) {
            cf_conv_store(conv, small + 1, panels, epilogue, line, w, bias, maps, out);
            line += (small + 1) * conv.stride_width;
            out += small + 1;
        }
        for (int t = large; t < tiles; t++) {
            cf_conv_store(conv, small, panels, epilogue, line, w, bias, maps, out);
            line += small * conv.stride_width;
            out += small;
        }
    }
}

/* The whole convolution: x [groups * channels][height][width] to y [groups * maps][rows][columns],
 * bias one a panel's lane. */
CF_INLINE void cf_conv_all(const cf_conv conv, float (*const epilogue)(float),
                           const float *restrict x, const float *restrict w,
                           const float *restrict bias, float *restrict y)
{
    const int panels = (conv.maps + 15) / 16;
    const long panel = 16L * conv.channels * conv.kernel_height * conv.kernel_width;
    for (int g = 0; g < conv.groups; g++) {
        int done = 0;
        for (; done + CF_PANELS <= panels; done += CF_PANELS) {
            const int left = conv.maps - 16 * done;
            const int maps = left < 16 * CF_PANELS ? left : 16 * CF_PANELS;
            cf_conv_panels(conv, CF_PANELS, epilogue, x, w, bias, maps,
                           y + 16L * done * conv.rows * conv.columns);
            w += CF_PANELS * panel;
            bias += CF_PANELS * 16;
        }
        if (done < panels) {
            cf_conv_panels(conv, 1, epilogue, x, w, bias, conv.maps - 16 * done,
                           y + 16L * done * conv.rows * conv.columns);
            w += panel;
            bias += 16;
        }
        x += (long)conv.channels * conv.height * conv.width;
        y += (long)conv.maps * conv.rows * conv.columns;
    }
}

