struct cf_context {
    int level, threads;
    char *arena, *workspaces;
    float *result;  /* of the self-test: CF_OUTPUT_FLOATS */
    uint8_t *image; /* of the self-test: CF_TEST_BYTES */
    void *allocation;
    cf_team team;
};

int cf_abi(void)
{
    return CF_ABI;
}

static size_t cf_memory(int threads)
{
    return (size_t)CF_ARENA_BYTES + (size_t)threads * CF_WORKSPACE_BYTES + CF_ALIGNMENT +
           sizeof(float) * CF_OUTPUT_FLOATS + CF_TEST_BYTES;
}

/* What both ways to create a context do. No function of the interface calls another: in a program
 * with two artifacts, the other's might be called. */
static cf_context *cf_new(const char *name, int threads)
{
    int level = 0;
    while (level < CF_LEVELS && ((name && strcmp(LEVELS[level].name, name)) || !cf_has(level)))
        level++;
    threads = threads ? threads : CF_THREADS;
    if (level == CF_LEVELS || threads < 1 || threads > CF_MOST_THREADS)
        return NULL;
    cf_context *context = calloc(1, sizeof *context);
    if (!context)
        return NULL;
    context->level = level;
    context->threads = threads;
    context->allocation = malloc(cf_memory(threads));
    if (!context->allocation || !cf_team_start(&context->team, LEVELS[level].steps, threads)) {
        free(context->allocation);
        free(context);
        return NULL;
    }
    const uintptr_t start = (uintptr_t)context->allocation;
    context->arena = (char *)context->allocation + (CF_ALIGNMENT - start % CF_ALIGNMENT);
    context->workspaces = context->arena + CF_ARENA_BYTES;
    context->result = (float *)(void *)(context->workspaces + (size_t)threads * CF_WORKSPACE_BYTES);
    context->image = (uint8_t *)(context->result + CF_OUTPUT_FLOATS);
    return context;
}

cf_context *cf_create_with(const char *name, int threads)
{
    return cf_new(name, threads);
}

cf_context *cf_create(void)
{
    return cf_new(NULL, 0);
}

void cf_destroy(cf_context *context)
{
    if (!context)
        return;
    cf_team_stop(&context->team);
    free(context->allocation);
    free(context);
}

const char *cf_level_name(const cf_context *context)
{
    return LEVELS[context->level].name;
}

int cf_threads(const cf_context *context)
{
    return context->threads;
}

const int32_t *cf_input_shape(void)
{
    return INPUT_SHAPE;
}

const int32_t *cf_output_shape(void)
{
    return OUTPUT_SHAPE;
}

int cf_input_floats(void)
{
    return CF_INPUT_FLOATS;
}

int cf_output_floats(void)
{
    return CF_OUTPUT_FLOATS;
}

const char *cf_card(void)
{
    return CARD;
}

int cf_classes(void)
{
    return CARD ? CF_OUTPUT_FLOATS : 0;
}

int64_t cf_context_bytes(const cf_context *context)
{
    return (int64_t)(sizeof *context + cf_memory(context->threads));
}

/* Computes the layers from `first` to before `end`. */
static void cf_compute_some(cf_context *context, int first, int end, const float *input,
                            float *output, int64_t *ends)
{
    const cf_job job = {input, output, context->arena, context->workspaces, cf_weights};
    cf_execute(&context->team, first, end, &job, ends);
}

static void cf_compute(cf_context *context, const float *input, float *output, int64_t *ends)
{
    cf_compute_some(context, 0, CF_STEPS_COUNT, input, output, ends);
}

int cf_run(cf_context *context, const float *input, float *output)
{
    cf_compute(context, input, output, NULL);
    return CF_OK;
}

static const cf_layer *cf_layer_at(int layer)
{
    static const cf_layer none = {NULL, NULL, NULL, 0, {0, 0, 0, 0, 0, 0, 0, 0.0f, 0}};
    return layer >= 0 && layer < CF_STEPS_COUNT ? &LAYERS[layer] : &none;
}

int cf_layers(void)
{
    return CF_STEPS_COUNT;
}

const char *cf_layer_name(int layer)
{
    return cf_layer_at(layer)->name;
}

const char *cf_layer_kernel(int layer)
{
    return cf_layer_at(layer)->kernel;
}

int64_t cf_layer_macs(int layer)
{
    return cf_layer_at(layer)->macs;
}

const char *cf_layer_facts(int layer)
{
    return cf_layer_at(layer)->facts;
}

int64_t cf_layer_floats(int layer)
{
    const cf_map *map = &cf_layer_at(layer)->map;
    return (int64_t)map->images * map->channels * map->cells;
}

static float cf_number(const cf_map *map, const void *from, long at)
{
    if (map->number == 1)
        return map->scale * (float)(((const uint8_t *)from)[at] - map->zero);
    if (map->number == 4)
        return ((const float *)from)[at];
    const uint32_t bits = (uint32_t)((const uint16_t *)from)[at] << 16;
    float number;
    memcpy(&number, &bits, sizeof number);
    return number;
}

/* The numbers of a map in the order [N, C, H, W]; where channels lie side by side, the last ones of a
 * cell may be none. */
static void cf_copy_map(const cf_map *map, const void *from, float *to)
{
    const int lanes = map->lanes, blocks = (map->channels + lanes - 1) / lanes;
    for (long n = 0; n < map->images; n++)
        for (long c = 0; c < map->channels; c++) {
            const long block = (n * blocks + c / lanes) * map->cells;
            for (long cell = 0; cell < map->cells; cell++)
                *to++ = cf_number(map, from, (block + cell) * lanes + c % lanes);
        }
}

int cf_feature_maps(cf_context *context, const float *input, int layer, float *maps)
{
    if (layer < 0 || layer >= CF_STEPS_COUNT)
        return CF_NO_LAYER;
    const cf_map *map = &LAYERS[layer].map;
    cf_compute_some(context, 0, layer + 1, input, context->result, NULL);
    const char *base = map->in_output ? (const char *)context->result : context->arena;
    cf_copy_map(map, base + map->offset, maps);
    return CF_OK;
}

int cf_profile(cf_context *context, const float *input, float *output, int64_t *nanoseconds)
{
    const int64_t begin = cf_now();
    cf_compute(context, input, output, nanoseconds);
    for (int i = CF_STEPS_COUNT - 1; i >= 0; i--)
        nanoseconds[i] -= i ? nanoseconds[i - 1] : begin;
    return CF_OK;
}

/* exp(x - max) / sum: no overflow, and the sum is taken in double. */
static void cf_softmax(float *values)
{
    float largest = values[0];
    for (int i = 1; i < CF_OUTPUT_FLOATS; i++)
        largest = values[i] > largest ? values[i] : largest;
    double sum = 0.0;
    for (int i = 0; i < CF_OUTPUT_FLOATS; i++) {
        values[i] = expf(values[i] - largest);
        sum += values[i];
    }
    for (int i = 0; i < CF_OUTPUT_FLOATS; i++)
        values[i] = (float)(values[i] / sum);
}

/* Where an image's input to the network belongs; NULL where the image cannot be taken. */
static const float *cf_prepare(cf_context *context, const uint8_t *rgb, int32_t width,
                               int32_t height)
{
    cf_preprocessing *preprocess = LEVELS[context->level].preprocess;
    float *input = (float *)(void *)(context->arena + CF_INPUT_OFFSET);
    return preprocess(rgb, width, height, input, context->arena + CF_SCRATCH_OFFSET) ? NULL : input;
}

int cf_preprocess_image(cf_context *context, const uint8_t *rgb, int32_t width, int32_t height,
                        float *input)
{
    if (!CARD)
        return CF_NO_PREPROCESSING;
    const float *prepared = cf_prepare(context, rgb, width, height);
    if (!prepared)
        return CF_IMAGE_SIZE;
    memcpy(input, prepared, sizeof(float) * CF_INPUT_FLOATS);
    return CF_OK;
}

int cf_predict(cf_context *context, const uint8_t *rgb, int32_t width, int32_t height,
               float *probabilities)
{
    if (!CARD)
        return CF_NO_PREPROCESSING;
    const float *input = cf_prepare(context, rgb, width, height);
    if (!input)
        return CF_IMAGE_SIZE;
    cf_compute(context, input, probabilities, NULL);
    cf_softmax(probabilities);
    return CF_OK;
}

/* MurmurHash3's finaliser of a counter: evenly spread bits, any of them without those before. */
static uint32_t cf_bits(uint32_t counter)
{
    uint32_t x = counter + CF_TEST_SEED;
    x = (x ^ x >> 16) * 0x85ebca6bu;
    x = (x ^ x >> 13) * 0xc2b2ae35u;
    return x ^ x >> 16;
}

/* An image of even noise where there is preprocessing, otherwise numbers from -1 to 1. */
static const float *cf_test_input(cf_context *context)
{
    float *input = (float *)(void *)(context->arena + CF_INPUT_OFFSET);
    if (CARD) {
        for (uint32_t i = 0; i < CF_TEST_BYTES; i++)
            context->image[i] = (uint8_t)(cf_bits(i) >> 24);
        return cf_prepare(context, context->image, CF_TEST_WIDTH, CF_TEST_HEIGHT);
    }
    for (uint32_t i = 0; i < CF_INPUT_FLOATS; i++)
        input[i] = (float)(cf_bits(i) >> 8) * 0x1p-23f - 1.0f;
    return input;
}

int cf_selftest(cf_context *context)
{
    const float *input = cf_test_input(context);
    if (!input)
        return CF_SELFTEST;
    cf_compute(context, input, context->result, NULL);
    for (int i = 0; i < CF_TEST_OUTPUTS; i++) {
        const float found = context->result[(long)i * CF_TEST_STRIDE], expected = EXPECTED[i];
        const int alike = isfinite(expected) ? fabsf(found - expected) <= CF_TEST_LIMIT
                                             : found == expected || (isnan(found) && isnan(expected));
        if (!alike)
            return CF_SELFTEST;
    }
    return CF_OK;
}
