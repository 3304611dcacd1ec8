/* Convolutions whose maps have several numbers in the room of a float: a word.
 *
 * A pixel of a block is 16 words, as it is 16 floats in a blocked map, so that taps, steps and
 * borders are those of blocked maps. A unit is 32 outputs, two vectors of 16 sums. */
#ifndef CF_WORDS
#define CF_WORDS
#include <stdint.h>
typedef int32_t __attribute__((may_alias)) cf_word;
typedef int cf_ints __attribute__((vector_size(4 * CF_LANES)));

CF_INLINE cf_ints cf_each(int x)
{
    return x - (cf_ints){0};
}

CF_INLINE cf_ints cf_load_ints(const void *p)
{
    cf_ints x;
    memcpy(&x, p, sizeof x);
    return x;
}

#define CF_ROOM 512 /* floats of what a tile wants made ready of a unit's more */

typedef void cf_make_unit_ready(const cf_sums *tile, int vectors, const float *more, float *room);

typedef struct {
    const cf_sums *tile; /* what a tile is told */
    cf_make_unit_ready *ready; /* NULL where a tile takes more as it is */
    cf_cut tiles[2];     /* of one vector of outputs, of two */
    int step, vectors, rows, columns, chunk; /* as of cf_conv */
    int wide;  /* floats that a unit's outputs of a pixel take */
    int more;  /* floats of what a unit has besides weights */
    long pitch;
    cf_border border;
} cf_conv_words;

/* Units `begin` to `end` - 1: those of a chunk are neighbours. */
CF_CALLED void cf_conv_words_units(const cf_conv_words *c, const float *x, const float *w,
                                   const float *more, const float *addend, float *work, float *y,
                                   int begin, int end)
{
    const int parts = (c->vectors + 1) / 2;
    float room[CF_ROOM] __attribute__((aligned(64)));
    int copied = -1, known = -1;
    for (int unit = begin; unit < end; unit++) {
        const int first = unit / parts * c->chunk, part = unit % parts;
        const int rows = c->rows - first < c->chunk ? c->rows - first : c->chunk;
        if (work && first != copied)
            cf_copy_rows(&c->border, first, rows, c->chunk, x, work);
        copied = first;
        const float *from = work ? work : x + first * c->pitch;
        const int both = 2 * part + 1 < c->vectors;
        const float *wanted = c->ready ? room : more + (long)part * c->more;
        if (c->ready && part != known)
            c->ready(c->tile, 1 + both, more + (long)part * c->more, room);
        known = part;
        const cf_cut *cut = &c->tiles[both];
        const int floats = part * c->wide; /* of the outputs before */
        const long at = floats / 16 * c->tile->plane + floats % 16 + (long)first * c->columns * 16;
        for (int h = 0; h < rows; h++)
            for (int column = 0; column < c->columns;) {
                cf_tile *tile;
                const int pixels = cf_next_tile(cut, c->columns - column, &tile);
                const long to = at + ((long)h * c->columns + column) * 16;
                tile(c->tile, from + h * c->pitch + (long)column * c->step,
                     w + part * c->tile->weights, wanted, addend ? addend + to : NULL, y + to);
                column += pixels;
            }
    }
}

/* Bytes of channels of one block behind those that were put before; a pixel of a block is 64. */
CF_CALLED void cf_put_channels(long cells, int pixel, int count, int first, const float *x, float *y)
{
    const char *from = (const void *)x;
    char *to = (char *)(void *)y + first / 64 * cells * 64 + first % 64;
    const int here = count < 64 - first % 64 ? count : 64 - first % 64;
    for (long i = 0; i < cells; i++) {
        memcpy(to + i * 64, from + i * pixel, (size_t)here);
        if (here < count)
            memcpy(to + (cells + i) * 64 - first % 64, from + i * pixel + here, (size_t)(count - here));
    }
}
#endif

