
/* The tile of conv_int8.c for WebAssembly: eight outputs at a time, for engines have few registers. */
#if defined(CF_WEB) && !defined(CF_CONV_INT8_WEB)
#define CF_CONV_INT8_WEB
#define CF_BESIDE (3 - CF_PARTS) /* vectors of sums whose pixels have registers at a time */

/* The sums of eight outputs, four of the weights at `w` and four of those `beside`. */
CF_INLINE void cf_int8_sums(const int dot, const int pixels, const int panels, const int step,
                            const cf_sums *s, const float *restrict x, const float *restrict w,
                            const int beside, const cf_word *restrict bias,
                            v128_t (*restrict sum)[2])
{
    CF_UNROLL
    for (int first = 0; first < 2; first += CF_BESIDE) {
        cf_four all[CF_PIXELS][CF_BESIDE];
        CF_UNROLL
        for (int p = 0; p < pixels; p++)
            CF_UNROLL
            for (int v = 0; v < CF_BESIDE; v++)
                all[p][v] = cf_begin(wasm_v128_load(bias + 4 * (first + v)));
        const float *row = w + first * beside;
        for (const cf_tap *tap = s->taps, *end = tap + s->taps_count; tap < end; tap++) {
            const float *cell = x + tap->offset;
            for (int k = step < 16 ? 1 : tap->count; k > 0; k--, cell++, row += 16 * panels) {
                cf_four four[CF_BESIDE];
                CF_UNROLL
                for (int v = 0; v < CF_BESIDE; v++)
                    four[v] = cf_load_four(row + v * beside);
                CF_UNROLL
                for (int p = 0; p < pixels; p++) {
                    const cf_four word = cf_load_word(cell + p * step);
                    CF_UNROLL
                    for (int v = 0; v < CF_BESIDE; v++)
                        cf_dots(dot, &all[p][v], word, four[v]);
                    CF_KEEP(all[p][0].part[0], all[p][CF_BESIDE - 1].part[CF_PARTS - 1]);
                }
            }
        }
        CF_UNROLL
        for (int p = 0; p < pixels; p++)
            CF_UNROLL
            for (int v = 0; v < CF_BESIDE; v++)
                sum[p][first + v] = cf_whole(all[p][v]);
    }
}

/* `more` is a cf_ready of these outputs. */
CF_INLINE void cf_int8_tile(const int pixels, const int panels, const int step, const cf_sums *s,
                            const float *restrict x, const float *restrict w,
                            const float *restrict more, const float *restrict addend,
                            float *restrict y)
{
    const cf_int8 *q = (const void *)s;
    const cf_ready *r = (const void *)more;
    for (int n = 0; n < 16 * panels; n += 8) {
        v128_t sum[CF_PIXELS + 1][2], e[CF_PIXELS + 1];
        const int beside = panels == 2 ? 16 : 4;
        const float *row = w + n / panels;
        if (r->dot)
            cf_int8_sums(1, pixels, panels, step, s, x, row, beside, r->bias + n, sum);
        else
            cf_int8_sums(0, pixels, panels, step, s, x, row, beside, r->bias + n, sum);
        const v128_t round = wasm_v128_load(r->round), share = wasm_i16x8_splat((short)q->addend);
        const v128_t largest = wasm_i8x16_splat((signed char)q->largest);
        CF_UNROLL
        for (int p = 0; p < pixels; p++) {
            v128_t half[2];
            CF_UNROLL
            for (int i = 0; i < 2; i++)
                half[i] = cf_bounded(r, n + 4 * i, sum[p][i]);
            e[p] = cf_shares(wasm_i16x8_narrow_i32x4(half[0], half[1]), wasm_v128_load(r->by + n));
        }
        if (addend)
            CF_UNROLL
            for (int p = 0; p < pixels; p++) {
                const v128_t more_of = wasm_u16x8_load8x8(addend + p * 16 + n / 4);
                const v128_t both =
                    wasm_i16x8_add_sat(e[p], cf_shares(wasm_i16x8_shl(more_of, 7), share));
                e[p] = cf_shares(both, round);
            }
        cf_byte *to = (cf_byte *)(void *)y + n;
        CF_UNROLL
        for (int p = 0; p < pixels; p += 2) {
            const int both = p + 1 < pixels;
            const v128_t bytes =
                wasm_u8x16_min(wasm_u8x16_narrow_i16x8(e[p], e[both ? p + 1 : p]), largest);
            wasm_v128_store64_lane(to + p * 64, bytes, 0);
            if (both)
                wasm_v128_store64_lane(to + (p + 1) * 64, bytes, 1);
        }
        if (q->found)
            for (int p = 0; p < pixels; p++)
                CF_UNROLL
                for (int i = 0; i < 8; i++)
                    to[p * 64 + i] = r->table[to[p * 64 + i]];
    }
}

/* From the order of the weights' vectors to that of the outputs. */
_Static_assert(sizeof(cf_ready) <= sizeof(float) * CF_ROOM, "room for what is ready");

CF_CALLED void cf_order_outputs(const cf_sums *tile, int panels, const float *more, float *room)
{
    cf_ready *r = (void *)room;
    const int found = ((const cf_int8 *)(const void *)tile)->found;
    const cf_word *bias = (const void *)more, *shift = (const void *)(more + CF_SHIFTS);
    const cf_short *by = (const void *)(more + CF_MULTIPLIERS);
    for (int n = 0; n < 16 * panels; n++) {
        const int at = panels == 1 ? n : n % 16 / 4 * 8 + n / 16 * 4 + n % 4;
        cf_make_ready(r, at, bias[n], shift[n], by[panels == 1 ? n / 4 * 8 + n % 4 : at]);
    }
    for (int i = 0; i < 8; i++)
        r->round[i] = 1 << 11;
    r->dot = cf_has_dot();
    if (found)
        memcpy(r->table, more + CF_TABLE, sizeof r->table);
}
#endif
