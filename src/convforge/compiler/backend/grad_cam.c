static void cf_set_number(const cf_map *map, void *to, long c, long cell, float value)
{
    const long at = (c / map->lanes * map->cells + cell) * map->lanes + c % map->lanes;
    if (map->number == 4) {
        ((float *)to)[at] = value;
        return;
    }
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    ((uint16_t *)to)[at] = (uint16_t)(bits >> 16); /* it was one of 16 bits before */
}

/* Writes a map from numbers in the order [C, H, W], each of channel `changed` more by `by`. */
static void cf_set_map(const cf_map *map, const float *from, long changed, float by, void *to)
{
    for (long c = 0; c < map->channels; c++)
        for (long cell = 0; cell < map->cells; cell++)
            cf_set_number(map, to, c, cell, *from++ + (c == changed ? by : 0.0f));
}

/* Makes a map the same everywhere: what one cell of [C, H, W] has, or 0 where `cell` is -1. */
static void cf_spread_cell(const cf_map *map, const float *from, long cell, void *to)
{
    for (long c = 0; c < map->channels; c++)
        for (long i = 0; i < map->cells; i++)
            cf_set_number(map, to, c, i, cell < 0 ? 0.0f : from[c * map->cells + cell]);
}

/* A logit, of the head alone. */
static double cf_head_logit(cf_context *context, const float *input, int index)
{
    cf_compute_some(context, CF_HEAD, CF_STEPS_COUNT, input, context->result, NULL);
    return context->result[index];
}

/* What cells give to the logit of a mean and a weighted sum: what it is where all are as this one. */
static void cf_logits_of_cells(cf_context *context, const float *input, int index,
                               const float *maps, void *to, float *heat)
{
    const cf_map *map = &HEAD_MAP;
    cf_spread_cell(map, maps, -1, to);
    const double none = cf_head_logit(context, input, index);
    for (long cell = 0; cell < map->cells; cell++) {
        cf_spread_cell(map, maps, cell, to);
        heat[cell] = (float)((cf_head_logit(context, input, index) - none) / (double)map->cells);
    }
}

/* Channels by what a rise of each, everywhere, makes of the logit: its mean gradient. The rise is
 * small, so that few units of the head change sides, unless it is all the same how large it is. */
static void cf_weigh_channels(cf_context *context, const float *input, int index,
                              const float *maps, void *to, float *heat)
{
    const cf_map *map = &HEAD_MAP;
    float largest = 0.0f;
    for (long i = 0; i < map->channels * map->cells; i++)
        largest = fabsf(maps[i]) > largest ? fabsf(maps[i]) : largest;
    const float by = (largest > 0.0f ? largest : 1.0f) / (CF_HEAD_IS_LINEAR ? 1.0f : 1024.0f);
    cf_set_map(map, maps, -1, by, to);
    const double before = cf_head_logit(context, input, index);
    memset(heat, 0, sizeof *heat * (size_t)map->cells);
    for (long c = 0; c < map->channels; c++) {
        cf_set_map(map, maps, c, by, to);
        const double rise = cf_head_logit(context, input, index) - before;
        const float weight = (float)(rise / (double)by / (double)map->cells);
        for (long cell = 0; cell < map->cells; cell++)
            heat[cell] += weight * maps[c * map->cells + cell];
    }
}

const int32_t *cf_grad_cam_shape(void)
{
    return HEAD_SHAPE;
}

int cf_grad_cam(cf_context *context, const float *input, int index, float *heat)
{
    if (!CF_HEAD)
        return CF_NO_HEAD;
    if (index < 0 || index >= CF_OUTPUT_FLOATS)
        return CF_NO_OUTPUT;
    float *maps = (float *)(void *)(context->arena + CF_MAPS_OFFSET);
    void *read = context->arena + HEAD_MAP.offset;
    cf_compute_some(context, 0, CF_HEAD, input, context->result, NULL);
    cf_copy_map(&HEAD_MAP, read, maps);
    if (CF_HEAD_IS_LINEAR && HEAD_MAP.cells < HEAD_MAP.channels)
        cf_logits_of_cells(context, input, index, maps, read, heat);
    else
        cf_weigh_channels(context, input, index, maps, read, heat);
    return CF_OK;
}
