
/* Convolutions of bytes: tiles of pixels and of units of 32 outputs.
 *
 * The outputs of a unit's two vectors of sums are 0-3, 8-11, 16-19, 24-27 and those between, so that
 * packing both to 16 bits brings them in order; a last unit of 16 outputs has one. */
#ifndef CF_CONV_INT8
#define CF_CONV_INT8
#ifdef CF_VNNI
/* What is added to the outputs of one unit in one pixel, or of one vector in that and one beside. */
CF_INLINE __m512i cf_addend(const int panels, const float *addend, const float *beside, __m512i by)
{
    __m512i x;
    if (panels == 2) {
        x = _mm512_cvtepu8_epi16(_mm256_loadu_si256((const void *)addend));
    } else {
        const __m256i both = _mm256_inserti128_si256(
            _mm256_castsi128_si256(_mm_loadu_si128((const void *)addend)),
            _mm_loadu_si128((const void *)beside), 1);
        const __m512i order = _mm512_setr_epi64(0, 4, 1, 5, 2, 6, 3, 7);
        x = _mm512_permutexvar_epi64(order, _mm512_cvtepu8_epi16(both));
    }
    return _mm512_mulhrs_epi16(_mm512_slli_epi16(x, 7), by);
}

CF_INLINE void cf_int8_tile(const int pixels, const int panels, const int step, const cf_sums *s,
                            const float *restrict x, const float *restrict w,
                            const float *restrict more, const float *restrict addend,
                            float *restrict y)
{
    const cf_int8 *q = (const void *)s;
    __m512i sum[CF_PIXELS + 1][2];
    CF_UNROLL
    for (int v = 0; v < panels; v++)
        CF_UNROLL
        for (int p = 0; p < pixels; p++)
            sum[p][v] = _mm512_loadu_si512(more + v * 16);
    for (const cf_tap *tap = s->taps, *end = tap + s->taps_count; tap < end; tap++) {
        const float *cell = x + tap->offset;
        for (int k = step < 16 ? 1 : tap->count; k > 0; k--, cell++, w += 16 * panels) {
            __m512i row[2];
            CF_UNROLL
            for (int v = 0; v < panels; v++) {
                row[v] = _mm512_loadu_si512(w + v * 16);
                __builtin_prefetch(w + v * 16 + CF_WEIGHTS_AHEAD / 4, 0, 2);
            }
            CF_UNROLL
            for (int p = 0; p < pixels; p++) {
                const __m512i word = _mm512_set1_epi32(*(const cf_word *)(const void *)(cell + p * step));
                CF_UNROLL
                for (int v = 0; v < panels; v++)
                    sum[p][v] = cf_dot(sum[p][v], word, row[v]);
            }
        }
    }
    const __m512i first = _mm512_loadu_si512(more + CF_SHIFTS);
    const __m512i second = _mm512_loadu_si512(more + CF_SHIFTS + 16);
    const __m512i by = _mm512_loadu_si512(more + CF_MULTIPLIERS);
    const __m512i share = _mm512_set1_epi16((short)q->addend);
    const __m512i round = _mm512_set1_epi16(1 << 11), top = _mm512_set1_epi8((char)q->largest);
    const int together = panels == 2 ? 1 : 2; /* pixels in a vector of 16-bit numbers */
    CF_UNROLL
    for (int p = 0; p < pixels; p += 2 * together) {
        __m512i part[2];
        CF_UNROLL
        for (int i = 0; i < 2; i++) {
            const int at = p + i * together;
            if (at >= pixels) {
                part[i] = round;
                continue;
            }
            const int beside = at + 1 < pixels ? at + 1 : at;
            __m512i e = panels == 2 ? cf_scaled(sum[at][0], sum[at][1], first, second, by)
                                    : cf_scaled(sum[at][0], sum[beside][0], first, first, by);
            if (addend)
                e = _mm512_mulhrs_epi16(
                    _mm512_adds_epi16(
                        e, cf_addend(panels, addend + at * 16, addend + beside * 16, share)),
                    round);
            part[i] = e;
        }
        __m512i bytes = _mm512_min_epu8(_mm512_packus_epi16(part[0], part[1]), top);
        if (q->found)
            bytes = cf_look_up(more + CF_TABLE, bytes);
        if (panels == 2) {
            bytes = _mm512_permutexvar_epi64(_mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7), bytes);
            _mm256_storeu_si256((void *)(y + p * 16), _mm512_castsi512_si256(bytes));
            if (p + 1 < pixels)
                _mm256_storeu_si256((void *)(y + (p + 1) * 16), _mm512_extracti64x4_epi64(bytes, 1));
            continue;
        }
        bytes = _mm512_permutexvar_epi32(
            _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15), bytes);
        _mm_storeu_si128((void *)(y + p * 16), _mm512_castsi512_si128(bytes));
        if (p + 1 < pixels)
            _mm_storeu_si128((void *)(y + (p + 1) * 16), _mm512_extracti32x4_epi32(bytes, 1));
        if (p + 2 < pixels)
            _mm_storeu_si128((void *)(y + (p + 2) * 16), _mm512_extracti32x4_epi32(bytes, 2));
        if (p + 3 < pixels)
            _mm_storeu_si128((void *)(y + (p + 3) * 16), _mm512_extracti32x4_epi32(bytes, 3));
    }
}
#elif defined(__AVX2__)
/* Sums of 16 outputs in the order of the weights, of three pixels or fewer: products of 16 bits,
 * of which four outputs with two sums each are a vector. */
CF_INLINE void cf_int8_sums(const int step, const int panels, const cf_sums *s, int pixels,
                            const float *restrict x, const float *restrict w, __m256i (*sum)[2])
{
    __m256i part[3][4];
    CF_UNROLL
    for (int p = 0; p < 3; p++)
        CF_UNROLL
        for (int n = 0; n < 4; n++)
            part[p][n] = _mm256_setzero_si256();
    const long second = pixels > 1 ? step : 0, third = pixels > 2 ? 2 * step : 0;
    for (const cf_tap *tap = s->taps, *end = tap + s->taps_count; tap < end; tap++) {
        const float *cell = x + tap->offset;
        for (int k = step < 16 ? 1 : tap->count; k > 0; k--, cell++, w += 16 * panels) {
            const float *cells[3] = {cell, cell + second, cell + third};
            __m256i word[3];
            CF_UNROLL
            for (int p = 0; p < 3; p++)
                word[p] = _mm256_cvtepu8_epi16(
                    _mm_set1_epi32(*(const cf_word *)(const void *)cells[p]));
            CF_UNROLL
            for (int n = 0; n < 4; n++) {
                const __m256i four = _mm256_cvtepi8_epi16(_mm_loadu_si128((const void *)(w + 4 * n)));
                CF_UNROLL
                for (int p = 0; p < 3; p++)
                    part[p][n] = _mm256_add_epi32(part[p][n], _mm256_madd_epi16(word[p], four));
            }
        }
    }
    CF_UNROLL
    for (int p = 0; p < 3; p++)
        CF_UNROLL
        for (int n = 0; n < 2; n++)
            sum[p][n] = _mm256_permute4x64_epi64(
                _mm256_hadd_epi32(part[p][2 * n], part[p][2 * n + 1]), 0xd8);
}

CF_INLINE __m256i cf_added(__m256i e, const float *addend, __m256i share)
{
    const __m256i x = _mm256_cvtepu8_epi16(_mm_loadu_si128((const void *)addend));
    e = _mm256_adds_epi16(e, _mm256_mulhrs_epi16(_mm256_slli_epi16(x, 7), share));
    return _mm256_mulhrs_epi16(e, _mm256_set1_epi16(1 << 11));
}

CF_INLINE void cf_int8_tile(const int pixels, const int panels, const int step, const cf_sums *s,
                            const float *restrict x, const float *restrict w,
                            const float *restrict more, const float *restrict addend,
                            float *restrict y)
{
    const cf_int8 *q = (const void *)s;
    const cf_byte *table = q->found ? (const void *)(more + CF_TABLE) : NULL;
    const __m256i share = _mm256_set1_epi16((short)q->addend);
    /* One vector of outputs has eight of its multipliers in each half. */
    const __m256i pairs = _mm256_setr_epi32(0, 1, 8, 9, 4, 5, 12, 13);
    const float *by = more + CF_MULTIPLIERS;
    const __m256i first = cf_load_wide(by), second = cf_load_wide(by + 8);
    const __m256i alone = _mm256_blend_epi32(
        _mm256_permutevar8x32_epi32(first, pairs),
        _mm256_permutevar8x32_epi32(second, _mm256_setr_epi32(0, 0, 0, 1, 0, 0, 4, 5)), 0xcc);
    for (int p = 0; p < pixels; p += 3) {
        const int count = pixels - p < 3 ? pixels - p : 3;
        __m256i sum[2][3][2];
        for (int v = 0; v < panels; v++) {
            cf_int8_sums(step, panels, s, count, x + p * step, w + 16 * v, sum[v]);
            for (int i = 0; i < 3; i++)
                for (int n = 0; n < 2; n++)
                    sum[v][i][n] =
                        _mm256_add_epi32(sum[v][i][n], cf_load_wide(more + 16 * v + 8 * n));
        }
        for (int i = 0; i < count; i++) {
            float *to = y + (p + i) * 16;
            const float *from = addend + (p + i) * 16;
            const float *shift = more + CF_SHIFTS;
            if (panels == 1) {
                __m256i e = cf_scaled(sum[0][i][0], sum[0][i][1], cf_load_wide(shift),
                                      cf_load_wide(shift + 8), alone);
                e = _mm256_permute4x64_epi64(e, 0xd8);
                cf_store_sixteen(to, addend ? cf_added(e, from, share) : e, q->largest, table);
                continue;
            }
            for (int n = 0; n < 2; n++) {
                const __m256i e =
                    cf_scaled(sum[0][i][n], sum[1][i][n], cf_load_wide(shift + 8 * n),
                              cf_load_wide(shift + 16 + 8 * n), n ? second : first);
                cf_store_sixteen(to + 4 * n, addend ? cf_added(e, from + 4 * n, share) : e, q->largest,
                                 table);
            }
        }
    }
}
#elif !defined(CF_WEB)
/* The sums of a tile in the order of the weights. */
CF_INLINE void cf_int8_sums(const int pixels, const int panels, const int step, const cf_sums *s,
                            const float *restrict x, const float *restrict w,
                            cf_word (*restrict sum)[32])
{
    memset(sum, 0, sizeof *sum * (size_t)pixels);
    for (const cf_tap *tap = s->taps, *end = tap + s->taps_count; tap < end; tap++) {
        const float *cell = x + tap->offset;
        for (int k = step < 16 ? 1 : tap->count; k > 0; k--, cell++, w += 16 * panels)
            for (int n = 0; n < 16 * panels; n += CF_LANES) {
                /* a word of weights a lane */
                const cf_ints row = cf_load_ints(w + n);
                for (int p = 0; p < pixels; p++) {
                    const cf_byte *word = (const void *)(cell + p * step);
                    cf_ints all = cf_load_ints(sum[p] + n);
                    all += (row << 24 >> 24) * word[0] + (row << 16 >> 24) * word[1] +
                           (row << 8 >> 24) * word[2] + (row >> 24) * word[3];
                    memcpy(sum[p] + n, &all, sizeof all);
                }
            }
    }
}
CF_INLINE void cf_int8_tile(const int pixels, const int panels, const int step, const cf_sums *s,
                            const float *restrict x, const float *restrict w,
                            const float *restrict more, const float *restrict addend,
                            float *restrict y)
{
    const cf_int8 *q = (const void *)s;
    const int outputs = 16 * panels;
    const cf_word *bias = (const void *)more, *shift = (const void *)(more + CF_SHIFTS);
    const cf_short *by = (const void *)(more + CF_MULTIPLIERS);
    const cf_byte *table = (const void *)(more + CF_TABLE);
    cf_word sum[CF_PIXELS][32];
    int start[32], right[32], scale[32];
    /* from the order of the vectors above to that of the outputs */
    for (int n = 0; n < outputs; n++) {
        const int at = panels == 1 ? n : n % 16 / 4 * 8 + n / 16 * 4 + n % 4;
        start[at] = bias[n];
        right[at] = shift[n];
        scale[n] = by[panels == 1 ? n / 4 * 8 + n % 4 : n];
    }
    cf_int8_sums(pixels, panels, step, s, x, w, sum);
    for (int p = 0; p < pixels; p++) {
        int ordered[32];
        for (int n = 0; n < outputs; n += 4)
            memcpy(ordered + (panels == 1 ? n : n % 16 * 2 + n / 16 * 4), sum[p] + n, 4 * sizeof(int));
        cf_byte *to = (void *)(y + p * 16);
        for (int n = 0; n < outputs; n += CF_LANES) {
            const cf_ints v = cf_load_ints(ordered + n) + cf_load_ints(start + n);
            cf_ints e = cf_rounded(cf_shorts(v >> cf_load_ints(right + n)), cf_load_ints(scale + n));
            if (addend) {
                const cf_ints more_of = cf_load_bytes((const cf_byte *)(const void *)(addend + p * 16) + n);
                e = cf_shorts(e + cf_rounded(more_of << 7, cf_each(q->addend)));
                e = cf_rounded(e, cf_each(1 << 11));
            }
            cf_store_bytes(to + n, e, q->largest);
        }
        if (q->found)
            for (int n = 0; n < outputs; n++)
                to[n] = table[to[n]];
    }
}
#endif

#define CF_INT8_TILE(panels, pixels, step)                                                         \
    CF_CALLED void cf_tile_int8_##panels##_##pixels##_##step(                                      \
        const cf_sums *s, const float *x, const float *w, const float *more, const float *addend,  \
        float *y)                                                                                  \
    {                                                                                              \
        cf_int8_tile(pixels, panels, step, s, x, w, more, addend, y);                              \
    }
#define CF_INT8_TILES_OF(pixels)                                                                   \
    CF_EVERY_STEP(CF_INT8_TILE, 1, pixels) CF_EVERY_STEP(CF_INT8_TILE, 2, pixels)
CF_EVERY_SIZE(CF_INT8_TILES_OF)

#ifdef CF_WEB
#define CF_INT8_READY cf_order_outputs
#else
#define CF_INT8_READY NULL
#endif
#endif

