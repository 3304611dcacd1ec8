/* Calls an artifact from C: reads an image, prints the probability of each class.

       cc -std=c11 -Wall examples/predict.c -L. -l:digits.so '-Wl,-rpath,$ORIGIN' -o predict
       ./predict scan.ppm

   The program finds digits.so beside itself ($ORIGIN), wherever it is called from.
   The image is a binary PPM of 8 bits (P6), of any size: the artifact resizes it, as it was trained.
   Nothing is linked but the artifact itself; the class names are in the JSON that cf_card() gives. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct cf_context cf_context;
cf_context *cf_create(void);
int cf_predict(cf_context *, const uint8_t *rgb, int32_t width, int32_t height, float *probabilities);
int cf_classes(void);
void cf_destroy(cf_context *);

int main(int count, char **arguments) {
    FILE *file = count == 2 ? fopen(arguments[1], "rb") : NULL;
    int width, height, largest;
    if (!file || fscanf(file, "P6 %d %d %d", &width, &height, &largest) != 3 ||
        fgetc(file) == EOF || width < 1 || height < 1 || largest != 255) {
        fprintf(stderr, "usage: predict IMAGE.ppm (binary, 8 bits)\n");
        return 2;
    }
    size_t size = 3 * (size_t)width * (size_t)height;
    uint8_t *rgb = malloc(size);
    float *probabilities = malloc(sizeof(float) * (size_t)cf_classes());
    cf_context *context = cf_create(); /* one a thread; holds all memory that a prediction needs */
    if (!rgb || !probabilities || !context || fread(rgb, 1, size, file) != size ||
        cf_predict(context, rgb, width, height, probabilities)) {
        fprintf(stderr, "%s: cut short, or too large\n", arguments[1]);
        return 1;
    }
    for (int k = 0; k < cf_classes(); k++) printf("%d %.9g\n", k, probabilities[k]);
    cf_destroy(context);
    free(rgb), free(probabilities), fclose(file);
    return 0;
}
