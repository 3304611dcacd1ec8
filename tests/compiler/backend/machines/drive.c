/* drive ARTIFACT LEVEL run INPUT OUTPUT
 * drive ARTIFACT LEVEL predict PIXELS OUTPUT WIDTH HEIGHT
 *
 * Opens an artifact as a program of its users would, and passes files through it. LEVEL "" is the
 * best one. The self-test comes first. */
#include "convforge.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void fail(const char *what)
{
    fprintf(stderr, "%s\n", what);
    exit(1);
}

static void *find(void *library, const char *name)
{
    void *function = dlsym(library, name);
    if (!function)
        fail(dlerror());
    return function;
}

#define FIND(name) __typeof__(name) *p_##name = find(library, #name)

static void *read_all(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END))
        fail("no input");
    const size_t size = (size_t)ftell(file);
    void *content = malloc(size + 1);
    rewind(file);
    if (!content || fread(content, 1, size, file) != size)
        fail("input cut short");
    fclose(file);
    return content;
}

int main(int count, char **arguments)
{
    void *library = count < 6 ? NULL : dlopen(arguments[1], RTLD_NOW);
    if (!library)
        fail(dlerror());
    FIND(cf_create_with);
    FIND(cf_selftest);
    FIND(cf_output_floats);
    FIND(cf_run);
    FIND(cf_predict);
    FIND(cf_destroy);
    cf_context *context = p_cf_create_with(*arguments[2] ? arguments[2] : NULL, 0);
    if (!context || p_cf_selftest(context) != CF_OK)
        fail(context ? "self-test failed" : "no context");
    void *input = read_all(arguments[4]);
    const size_t floats = (size_t)p_cf_output_floats();
    float *result = malloc(sizeof(float) * floats);
    int status = count == 8 ? p_cf_predict(context, input, atoi(arguments[6]), atoi(arguments[7]),
                                           result)
                            : p_cf_run(context, input, result);
    FILE *file = fopen(arguments[5], "wb");
    if (status != CF_OK || !file || fwrite(result, sizeof(float), floats, file) != floats ||
        fclose(file))
        fail("no result");
    p_cf_destroy(context);
    free(input);
    free(result);
    return 0;
}
