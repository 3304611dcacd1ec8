/* Writes a file of float32 numbers as the C of an array, for compilers without an assembler that
 * can include files:    weights_to_c weights.bin weights.c */
#include <math.h>
#include <stdio.h>

int main(int count, char **arguments)
{
    FILE *in = count == 3 ? fopen(arguments[1], "rb") : NULL;
    FILE *out = in ? fopen(arguments[2], "w") : NULL;
    if (!out) {
        fprintf(stderr, "usage: weights_to_c weights.bin weights.c\n");
        return 2;
    }
    fprintf(out, "extern const float cf_weights[];\n"
                 "_Alignas(64) const float cf_weights[] = {\n");
    float value;
    while (fread(&value, sizeof value, 1, in) == 1) {
        if (!isfinite(value)) {
            fprintf(stderr, "%s: a weight is no finite number\n", arguments[1]);
            return 1;
        }
        fprintf(out, "%af,\n", (double)value); /* hexadecimal: the same bits */
    }
    fprintf(out, "0};\n");
    const int failed = ferror(in) || ferror(out);
    return fclose(out) || failed;
}
