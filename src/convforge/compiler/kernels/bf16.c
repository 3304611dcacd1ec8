/* Numbers of bfloat16, the upper halves of floats: sums of products, and how floats become them.
 *
 * Two neighbouring channels are a word, the first one its lower half; products of words and two
 * weights are summed in float32. Where the processor has no such products, each half is a float. */
#ifndef CF_BF16
#define CF_BF16
#if defined(__AVX512BF16__)
#define CF_PAIR_PRODUCTS 1
#endif

typedef unsigned cf_bits __attribute__((vector_size(4 * CF_LANES)));
typedef uint16_t cf_short_bits __attribute__((vector_size(2 * CF_LANES)));

typedef struct {
    cf_sums sums; /* what a tile is told comes first: it is given a cf_tile's arguments */
    void (*finish)(float *y, int n); /* what of the epilogue is no clip, or NULL */
} cf_bf16;

/* The first and the second numbers of words. */
CF_INLINE cf_vector cf_first(cf_ints x)
{
    return (cf_vector)((cf_bits)x << 16);
}

CF_INLINE cf_vector cf_second(cf_ints x)
{
    return (cf_vector)((cf_bits)x & 0xffff0000u);
}

#ifdef CF_PAIR_PRODUCTS
/* Two products a lane; as cf_dot of int8.c an instruction and no intrinsic. */
CF_INLINE cf_vector cf_dot_pairs(cf_vector sum, cf_ints x, cf_ints w)
{
    __asm__("vdpbf16ps %2, %1, %0" : "+v"(sum) : "v"(x), "v"(w));
    return sum;
}
#endif

/* As many numbers of bf16 as a vector has floats. */
CF_INLINE cf_vector cf_load_bf16(const void *p)
{
    cf_short_bits x;
    memcpy(&x, p, sizeof x);
    return (cf_vector)(__builtin_convertvector(x, cf_bits) << 16);
}

/* The nearest, halves to the even one. */
CF_INLINE void cf_store_bf16(void *p, cf_vector x)
{
#ifdef CF_PAIR_PRODUCTS
    const __m256i nearest = (__m256i)_mm512_cvtneps_pbh((__m512)x);
#else
    const cf_bits bits = (cf_bits)x, none = (cf_bits)(x != x);
    const cf_bits near = bits + 0x7fffu + (bits >> 16 & 1u);
    const cf_bits whole = (near & ~none) | ((bits | 0x400000u) & none);
    const cf_short_bits nearest = __builtin_convertvector(whole >> 16, cf_short_bits);
#endif
    memcpy(p, &nearest, sizeof nearest);
}

/* 32 floats. */
CF_INLINE void cf_store_bf16_block(void *p, const cf_vector *x)
{
#ifdef CF_PAIR_PRODUCTS
    const __m512i nearest = (__m512i)_mm512_cvtne2ps_pbh((__m512)x[1], (__m512)x[0]);
    memcpy(p, &nearest, sizeof nearest);
#else
    for (int v = 0; v < 2 * CF_VECTORS; v++)
        cf_store_bf16((uint16_t *)p + v * CF_LANES, x[v]);
#endif
}
#endif

