/* Prints what a network makes of an image, or of its self-test's input without one.
 *
 *     predict [IMAGE.ppm]
 *
 * The image is a binary PPM of 8 bits (P6) of any size; the classes are in the JSON that cf_card()
 * gives, in this order. */
#include "convforge.h"

#include <stdio.h>
#include <stdlib.h>

static int print_probabilities(cf_context *context, FILE *file)
{
    int width, height, largest;
    if (fscanf(file, "P6 %d %d %d", &width, &height, &largest) != 3 || fgetc(file) == EOF ||
        width < 1 || height < 1 || largest != 255)
        return 1;
    const size_t size = 3 * (size_t)width * (size_t)height;
    uint8_t *rgb = malloc(size);
    float *probabilities = malloc(sizeof(float) * (size_t)cf_classes());
    int failed = !rgb || !probabilities || fread(rgb, 1, size, file) != size ||
                 cf_predict(context, rgb, width, height, probabilities) != CF_OK;
    for (int k = 0; !failed && k < cf_classes(); k++)
        printf("%d %.9g\n", k, (double)probabilities[k]);
    free(rgb);
    free(probabilities);
    return failed;
}

int main(int count, char **arguments)
{
    cf_context *context = cf_create();
    if (!context) {
        fprintf(stderr, "not enough memory\n");
        return 1;
    }
    int failed;
    if (count == 2) {
        FILE *file = fopen(arguments[1], "rb");
        failed = !file || print_probabilities(context, file);
        if (file)
            fclose(file);
        if (failed)
            fprintf(stderr, "%s: no binary PPM of 8 bits, or cut short, or too large\n",
                    arguments[1]);
    } else {
        failed = cf_selftest(context) != CF_OK;
        printf("%s: self-test %s\n", cf_level_name(context), failed ? "failed" : "passed");
    }
    cf_destroy(context);
    return failed;
}
