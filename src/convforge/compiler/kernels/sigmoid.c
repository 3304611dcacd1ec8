/* Sigmoid and SiLU of whole vectors, in place: of blocks of 16 that have just been computed. A
 * division is no slower than Newton's step for the reciprocal (Zen 4), and gives 0 of infinity by
 * itself. */
#if defined(CF_LANES) && CF_LANES == 16
/* e^-x for x <= 128: -x / ln 2 = n + i / 32 + r; 2^(i / 32) from a table, 2^r by a polynomial. A
 * SiLU takes 9 cycles a vector, as the compiler makes it of the scalar one 20 (Zen 4, gcc 12). */
CF_INLINE cf_vector cf_wide_fall(cf_vector x)
{
    const cf_vector low = {
        1.0f, 1.0218972f, 1.04427373f, 1.06714046f, 1.09050775f, 1.1143868f,
        1.13878858f, 1.1637249f, 1.18920708f, 1.21524739f, 1.24185777f, 1.26905096f,
        1.29683959f, 1.32523668f, 1.35425556f, 1.38390994f};
    const cf_vector high = {
        1.41421354f, 1.44518077f, 1.47682619f, 1.50916445f, 1.54221082f, 1.5759809f,
        1.61049032f, 1.64575553f, 1.68179286f, 1.71861935f, 1.75625217f, 1.79470909f,
        1.8340081f, 1.87416768f, 1.91520655f, 1.95714414f};
    const cf_vector scaled = x * -1.44269504f;
    const cf_vector shifted = scaled + 393216.0f; /* 1.5 * 2^18: parts of 32 in the low bits */
    const cf_vector n = shifted - 393216.0f, r = scaled - n;
    const cf_vector power =
        (cf_vector)_mm512_permutex2var_ps((__m512)low, (__m512i)shifted, (__m512)high);
    const cf_vector p = (2.40226507e-1f * r + 6.93147181e-1f) * r;
    return (cf_vector)_mm512_scalef_ps((__m512)(p * power + power), (__m512)n);
}

CF_INLINE void cf_wide_sigmoid(float *y, int n)
{
    const cf_vector far = cf_every(128.0f);
    for (int i = 0; i < n; i += CF_LANES) {
        const cf_vector x = cf_vector_min(far, cf_vector_max(-far, cf_load(y + i)));
        cf_store(y + i, 1.0f / (1.0f + cf_wide_fall(x)));
    }
}

CF_INLINE void cf_wide_silu(float *y, int n)
{
    for (int i = 0; i < n; i += CF_LANES) {
        const cf_vector x = cf_load(y + i);
        cf_store(y + i, x / (1.0f + cf_wide_fall(cf_vector_min(cf_every(128.0f), x))));
    }
}
#elif defined(CF_LANES)
typedef unsigned cf_bits __attribute__((vector_size(4 * CF_LANES)));
typedef struct cf_falls {
    cf_vector far, middle, rate, p[6];
} cf_falls;

/* In registers for a whole loop. The compiler must not know these numbers: engines that translate
 * WebAssembly make a constant anew wherever it is used, in several instructions (EfficientNet-B0 in
 * Chromium: 26.5 ms with constants, 18.2 without). */
CF_INLINE cf_falls cf_falls_ready(void)
{
    static const float numbers[9] = {
        87.0f, 12582912.0f /* 1.5 * 2^23 */, 1.44269504f,
        1.0f, -6.93147e-1f, 2.4022242e-1f, -5.5507336e-2f, 9.671512e-3f, -1.3264741e-3f};
    const float *place = numbers;
    __asm__("" : "+r"(place));
    cf_falls f = {cf_every(place[0]), cf_every(place[1]), cf_every(place[2]), {{0}}};
    CF_UNROLL
    for (int i = 0; i < 6; i++)
        f.p[i] = cf_every(place[3 + i]);
    return f;
}

/* e^-x for |x| <= far: -x / ln 2 = n - t; 2^-t by a polynomial, to 1e-7, to whose exponent n, in the
 * low bits of `shifted`, is added. */
CF_INLINE cf_vector cf_wide_fall(const cf_falls *f, cf_vector x)
{
    const cf_vector shifted = f->middle - x * f->rate;
    const cf_vector t = cf_vector_madd(x, f->rate, shifted - f->middle);
    cf_vector p = f->p[5];
    CF_UNROLL
    for (int i = 4; i >= 0; i--)
        p = cf_vector_madd(p, t, f->p[i]);
    return (cf_vector)((cf_bits)p + ((cf_bits)shifted << 23));
}

CF_INLINE void cf_wide_sigmoid(float *y, int n)
{
    const cf_falls f = cf_falls_ready();
    for (int i = 0; i < n; i += CF_LANES) {
        const cf_vector x = cf_vector_min(f.far, cf_vector_max(-f.far, cf_load(y + i)));
        cf_store(y + i, f.p[0] / (f.p[0] + cf_wide_fall(&f, x)));
    }
}

/* Of what is below -87 it takes -87: e^87 / 87 is no more than float32's largest, and -0 comes out. */
CF_INLINE void cf_wide_silu(float *y, int n)
{
    const cf_falls f = cf_falls_ready();
    for (int i = 0; i < n; i += CF_LANES) {
        const cf_vector x = cf_vector_max(-f.far, cf_load(y + i));
        cf_store(y + i, x / (f.p[0] + cf_wide_fall(&f, cf_vector_min(f.far, x))));
    }
}
#endif

