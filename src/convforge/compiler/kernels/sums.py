"""The sum of many numbers, as C that several families call: in float64, eight sums side by side.

Side by side, so that compilers use vectors; in float64, so that the result is the nearest float32
but for the last bit, however many there are.
"""

SUMS = """\
static inline __attribute__((unused)) double cf_sum(const float *x, int count)
{
    double lanes[8] = {0.0};
    int i = 0;
    for (; i + 8 <= count; i += 8)
        for (int j = 0; j < 8; j++)
            lanes[j] += (double)x[i + j];
    for (; i < count; i++)
        lanes[0] += (double)x[i];
    return ((lanes[0] + lanes[1]) + (lanes[2] + lanes[3])) +
           ((lanes[4] + lanes[5]) + (lanes[6] + lanes[7]));
}

"""
