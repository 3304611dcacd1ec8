/* resize.py puts the constants, MEAN and STD, filter_weight() and resized_size() above this. */

/* Weights are integers in units of 2^-BITS. The magnitudes of one window's weights add up to less
 * than 1.6 (Lanczos, across a narrow image), so a sum of weighted bytes stays below 2^31. */
#define BITS 22
#define HALF (INT32_C(1) << (BITS - 1))

/* One direction of the resize: an output pixel is a weighted mean of `reach` pixels either side. */
struct axis {
    int32_t in, out;
    double scale, reach, inverse;
};

/* The pixels that one output pixel is made from. */
struct window {
    int32_t first, count;
};

/* The caller's memory. Nothing in it has to be set, and nothing is kept from call to call. */
struct scratch {
    /* Of all columns of the crop; padded with zeros to whole GROUPs, so that the loop over them has
     * no remainder. A plane is one source row in one channel, and zeros for that padding to meet. */
    _Alignas(64) int32_t taps_x[CROP_W * TAPS_X];
    _Alignas(64) struct window windows_x[CROP_W];
    _Alignas(64) uint8_t planes[CHANNELS * PLANE];
    /* Of one row of the crop, and before they are rounded. */
    _Alignas(64) int32_t taps_y[TAPS_Y];
    _Alignas(64) double weights[TAPS_X > TAPS_Y ? TAPS_X : TAPS_Y];
    /* The rows of one vertical window, [CHANNELS][CROP_W] each. */
    _Alignas(64) uint8_t ring[(size_t)TAPS_Y * ROW];
    /* One such row, or STRIP pixels of the source. */
    _Alignas(64) int32_t sums[LINE];
    _Alignas(64) uint8_t row[LINE];
};
_Static_assert(sizeof(struct scratch) == SCRATCH_BYTES, "scratch_bytes() counts otherwise");

/* One call of cf_preprocess. */
struct job {
    const uint8_t *rgb;
    struct scratch *scratch;
    struct axis x, y;
    int32_t first_column, columns; /* of the source, that the crop needs */
    int32_t stride;                /* taps_x from one output column to the next */
    int32_t ring_rows, next_row;   /* rows kept in the ring; the next source row to go there */
};

static struct axis make_axis(int32_t in, int32_t out)
{
    const double scale = (double)in / out;
    /* Enlarging interpolates between neighbours; shrinking widens the filter to all it covers. */
    const double width = scale < 1.0 ? 1.0 : scale;
    return (struct axis){in, out, scale, SUPPORT * width, 1.0 / width};
}

/* The most pixels any window of this axis has. */
static int32_t most_taps(const struct axis *axis)
{
    const int32_t whole = (int32_t)axis->reach;
    const int32_t taps = 2 * (whole + (whole < axis->reach)) + 1;
    return taps < axis->in ? taps : axis->in;
}

/* Window and fixed-point taps of output pixel `index`; `weights` is space to work in. Each rounding,
 * and the order of the sum, is Pillow's: a tap that is off by one can show in a pixel. */
static struct window make_taps(const struct axis *axis, int32_t index, double *weights,
                               int32_t *taps)
{
    /* Pillow leaves this pass out; one tap of exactly 1 gives the same bytes. */
    if (axis->in == axis->out) {
        taps[0] = INT32_C(1) << BITS;
        return (struct window){index, 1};
    }
    const double centre = (index + 0.5) * axis->scale;
    int32_t first = (int32_t)(centre - axis->reach + 0.5);
    int32_t end = (int32_t)(centre + axis->reach + 0.5);
    first = first < 0 ? 0 : first;
    end = end > axis->in ? axis->in : end;
    double sum = 0.0;
    for (int32_t t = 0; t < end - first; t++) {
        weights[t] = filter_weight((t + first - centre + 0.5) * axis->inverse);
        sum += weights[t];
    }
    for (int32_t t = 0; t < end - first; t++) {
        const double tap = sum != 0.0 ? weights[t] / sum : weights[t];
        taps[t] = (int32_t)((tap < 0.0 ? -0.5 : 0.5) + tap * (INT32_C(1) << BITS));
    }
    return (struct window){first, end - first};
}

/* Taps of all columns of the crop, and with them the source columns that it needs. */
static void plan_columns(struct job *job, int32_t left)
{
    struct scratch *s = job->scratch;
    job->stride = (most_taps(&job->x) + GROUP - 1) / GROUP * GROUP;
    for (int32_t x = 0; x < CROP_W; x++) {
        int32_t *taps = s->taps_x + (size_t)x * (size_t)job->stride;
        s->windows_x[x] = make_taps(&job->x, left + x, s->weights, taps);
        for (int32_t t = s->windows_x[x].count; t < job->stride; t++)
            taps[t] = 0;
    }
    job->first_column = s->windows_x[0].first;
    const struct window last = s->windows_x[CROP_W - 1];
    job->columns = last.first + last.count - job->first_column;
    for (int32_t c = 0; c < CHANNELS; c++)
        memset(s->planes + c * PLANE + job->columns, 0, GROUP);
}

static uint8_t to_byte(int32_t sum)
{
    const int32_t value = sum < 0 ? 0 : sum >> BITS;
    return (uint8_t)(value > 255 ? 255 : value);
}

/* Pixels as the network sees them, a plane a channel: the colours, or ITU-R 601 luma. */
static void load_pixels(const uint8_t *restrict rgb, int32_t count, uint8_t *restrict planes)
{
    for (int32_t i = 0; i < count; i++) {
        const int32_t r = rgb[3 * i], g = rgb[3 * i + 1], b = rgb[3 * i + 2];
#if CHANNELS == 1
        planes[i] = (uint8_t)((r * 19595 + g * 38470 + b * 7471 + 0x8000) >> 16);
#else
        planes[i] = (uint8_t)r;
        planes[i + PLANE] = (uint8_t)g;
        planes[i + 2 * PLANE] = (uint8_t)b;
#endif
    }
}

/* Source pixel at a column counted from the first that the crop needs. */
static const uint8_t *source(const struct job *job, int32_t y, int32_t column)
{
    const size_t pixel = (size_t)y * (size_t)job->x.in + (size_t)(job->first_column + column);
    return job->rgb + 3 * pixel;
}

static void clear(int32_t *sums, int32_t count)
{
    for (int32_t i = 0; i < count; i++)
        sums[i] = HALF;
}

static void add_scaled(int32_t *restrict sums, const uint8_t *restrict bytes, int32_t count,
                       int32_t tap)
{
    for (int32_t i = 0; i < count; i++)
        sums[i] += tap * bytes[i];
}

static void to_bytes(const int32_t *restrict sums, int32_t count, uint8_t *restrict bytes)
{
    for (int32_t i = 0; i < count; i++)
        bytes[i] = to_byte(sums[i]);
}

/* The horizontal pass: planes to one row of the crop, [CHANNELS][CROP_W]. */
static void blend_across(const struct job *job, uint8_t *restrict row)
{
    const struct scratch *s = job->scratch;
    for (int32_t c = 0; c < CHANNELS; c++) {
        for (int32_t x = 0; x < CROP_W; x++) {
            const struct window window = s->windows_x[x];
            const uint8_t *pixels = s->planes + c * PLANE + (window.first - job->first_column);
            const int32_t *taps = s->taps_x + (size_t)x * (size_t)job->stride;
            const int32_t count = (window.count + GROUP - 1) / GROUP * GROUP;
            int32_t sum = HALF;
            for (int32_t t = 0; t < count; t++)
                sum += taps[t] * pixels[t];
            row[c * CROP_W + x] = to_byte(sum);
        }
    }
}

/* One row of the crop to scratch->row, horizontal pass first. A ring keeps the rows of one vertical
 * window at the crop's width: windows only move down, so each source row is read once. */
static void blend_across_first(struct job *job, struct window window)
{
    struct scratch *s = job->scratch;
    if (job->next_row < window.first)
        job->next_row = window.first;
    for (; job->next_row < window.first + window.count; job->next_row++) {
        load_pixels(source(job, job->next_row, 0), job->columns, s->planes);
        blend_across(job, s->ring + (size_t)(job->next_row % job->ring_rows) * ROW);
    }
    clear(s->sums, ROW);
    for (int32_t t = 0; t < window.count; t++) {
        const size_t slot = (size_t)((window.first + t) % job->ring_rows);
        add_scaled(s->sums, s->ring + slot * ROW, ROW, s->taps_y[t]);
    }
    to_bytes(s->sums, ROW, s->row);
}

/* One row of the crop to scratch->row, vertical pass first: from the source rows, by strips. */
static void blend_down_first(const struct job *job, struct window window)
{
    struct scratch *s = job->scratch;
    for (int32_t column = 0; column < job->columns; column += STRIP) {
        const int32_t left = job->columns - column;
        const int32_t count = left < STRIP ? left : STRIP;
        clear(s->sums, 3 * count);
        for (int32_t t = 0; t < window.count; t++) {
            const uint8_t *rgb = source(job, window.first + t, column);
#if CHANNELS == 1
            load_pixels(rgb, count, s->row);
            add_scaled(s->sums, s->row, count, s->taps_y[t]);
#else
            add_scaled(s->sums, rgb, 3 * count, s->taps_y[t]);
#endif
        }
#if CHANNELS == 1
        to_bytes(s->sums, count, s->planes + column);
#else
        to_bytes(s->sums, 3 * count, s->row);
        load_pixels(s->row, count, s->planes + column);
#endif
    }
    blend_across(job, s->row);
}

/* (x - mean) / std to row y of the output, [CHANNELS][CROP_H][CROP_W]. */
static void normalize(const uint8_t *restrict row, int32_t y, float *restrict out)
{
    for (int32_t c = 0; c < CHANNELS; c++) {
        float *line = out + ((size_t)c * CROP_H + (size_t)y) * CROP_W;
        for (int32_t x = 0; x < CROP_W; x++)
            line[x] = ((float)row[c * CROP_W + x] - MEAN[c]) / STD[c];
    }
}

/* Where the crop starts: half of what is left over, half a pixel rounded to even. */
static int32_t crop_start(int32_t side, int32_t crop)
{
    const int32_t half = (side - crop) / 2;
    return half + ((side - crop) & half & 1);
}

int cf_preprocess(const uint8_t *rgb, int32_t width, int32_t height, float *out, void *scratch)
{
    if (width < 1 || height < 1 || width > MAX_SIDE || height > MAX_SIDE)
        return 1;
    int32_t new_width, new_height;
    resized_size(width, height, &new_width, &new_height);
    if (new_width > MAX_SIDE || new_height > MAX_SIDE)
        return 1;
    struct job job = {
        .rgb = rgb,
        .scratch = scratch,
        .x = make_axis(width, new_width),
        .y = make_axis(height, new_height),
    };
    job.ring_rows = most_taps(&job.y);
    plan_columns(&job, crop_start(new_width, CROP_W));
    const int32_t top = crop_start(new_height, CROP_H);
    /* Each pass rounds to bytes, so their order shows. This is Pillow 13's choice: the vertical
     * pass goes first where the height loses more than twice what the width does. */
    const int32_t loss = height - new_height;
    const int down_first = loss > 0 && loss > 2 * (width - new_width);
    struct scratch *s = scratch;
    for (int32_t y = 0; y < CROP_H; y++) {
        const struct window window = make_taps(&job.y, top + y, s->weights, s->taps_y);
        if (down_first)
            blend_down_first(&job, window);
        else
            blend_across_first(&job, window);
        normalize(s->row, y, out);
    }
    return 0;
}
