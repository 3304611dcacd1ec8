"""Preprocessing in C: grey, resize, centre crop and (x - mean) / std, to the bit as `Preprocess`.

The resize is Pillow's antialiased one on 8 bits, in the order of passes of Pillow 13.0: an output
pixel is the weighted mean of a window of input pixels, one direction after the other, each rounded
to 8 bits; weights are computed in double and rounded to 22 bits. Only the rows and columns that the
crop needs are computed. `resize.c` holds the arithmetic; this file prints the constants, the filter
and the target size that go in front of it. Pillow is the slow twin.

Exact wherever double is IEEE 754 and nothing is contracted: compile with -ffp-contract=off. Lanczos
takes `sin` from the C library, so there it is exact where that library's `sin` rounds as Pillow's.
"""

from __future__ import annotations

import math
from importlib.resources import files
from typing import TYPE_CHECKING

import numpy as np

from convforge.compiler.c.writer import c_float
from convforge.errors import UnsupportedError
from convforge.images.preprocess import MAX_SIDE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from convforge.images.preprocess import Interpolation, Preprocess

_ALIGNMENT = 64  # bytes, of the scratch and of every array in it
_GROUP = 16  # taps that the horizontal pass takes at a time
_STRIP = 1024  # source columns of one step of a vertical pass that goes first

# Pixels either side of the centre, at scale 1.
_SUPPORT: dict[Interpolation, float] = {"box": 0.5, "bilinear": 1.0, "bicubic": 2.0, "lanczos": 3.0}

# C of the weight at distance x from the centre. The order of operations is part of the result.
_WEIGHT: dict[Interpolation, str] = {
    "box": """\
static double filter_weight(double x)
{
    return x > -0.5 && x <= 0.5 ? 1.0 : 0.0;
}
""",
    "bilinear": """\
static double filter_weight(double x)
{
    const double d = x < 0.0 ? -x : x;
    return d < 1.0 ? 1.0 - d : 0.0;
}
""",
    "bicubic": """\
/* Cubic convolution with a = -1/2 (Keys 1981). */
static double filter_weight(double x)
{
    const double d = x < 0.0 ? -x : x;
    if (d < 1.0)
        return (1.5 * d - 2.5) * d * d + 1.0;
    return d < 2.0 ? (((d - 5.0) * d + 8.0) * d - 4.0) * -0.5 : 0.0;
}
""",
    "lanczos": """\
static double sinc(double x)
{
    const double angle = x * 0x1.921fb54442d18p+1;
    return x == 0.0 ? 1.0 : sin(angle) / angle;
}

/* Sinc under the main lobe of a sinc three times as wide. */
static double filter_weight(double x)
{
    return -3.0 <= x && x < 3.0 ? sinc(x) * sinc(x / 3.0) : 0.0;
}
""",
}

_HEAD = """\
/* Preprocessing: RGB pixels to what the network takes, equal to Pillow 13.0 to the bit.
 *
 * From interleaved rows of 3 * width bytes to float [{channels}][{crop_h}][{crop_w}]:
 * grey where that is one channel, {interpolation} resize, centre crop, (x - mean) / std.
 * `scratch` is {scratch_bytes} bytes, aligned to {alignment}. Returns 0, or 1 where a side is
 * below 1 or over {max_side} pixels, before or after the resize. */
{includes}
int cf_preprocess(const uint8_t *rgb, int32_t width, int32_t height, float *out, void *scratch);

/* One rounding for a multiply and an add, or excess precision, would change weights' last bits.
 * Clang's -ffp-contract=fast overrides the pragma: build with -ffp-contract=off. */
#if defined(__FAST_MATH__) || FLT_EVAL_METHOD != 0
#error "the preprocessing needs exact double arithmetic: no -ffast-math, no x87"
#endif
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#elif defined(__GNUC__)
#pragma GCC optimize("fp-contract=off")
#endif

{defines}
static const float MEAN[CHANNELS] = {{{mean}}};
static const float STD[CHANNELS] = {{{std}}};

"""

_SHORT_SIDE = """\
/* The short side to {side}, the long side in proportion, truncated as torchvision does. */
static void resized_size(int32_t width, int32_t height, int32_t *new_width, int32_t *new_height)
{{
    const int32_t shorter = width < height ? width : height;
    const int32_t longer = width < height ? height : width;
    const int32_t scaled = (int32_t)((double)(INT64_C({side}) * longer) / shorter);
    *new_width = height <= width ? scaled : {side};
    *new_height = height <= width ? {side} : scaled;
}}

"""

_STRETCH = """\
/* Both sides to a fixed length. */
static void resized_size(int32_t width, int32_t height, int32_t *new_width, int32_t *new_height)
{{
    (void)width;
    (void)height;
    *new_width = {width};
    *new_height = {height};
}}

"""


def emit_preprocess(preprocess: Preprocess) -> str:
    """C11 of `int cf_preprocess(rgb, width, height, out, scratch)`: one translation unit.

    `rgb` is uint8 [height, width, 3]; `out` is float32 [C, crop height, crop width]; `scratch` is
    `scratch_bytes(preprocess)` bytes, aligned to 64. It returns 0, or 1 for an image that
    `Preprocess` refuses too. It allocates nothing and writes to its arguments only, so any number
    of threads may run it, each with its own scratch. Lanczos needs the C library's `sin`.

    The same record gives the same text. Raises UnsupportedError where a mean or std does not fit
    float32.
    """
    constants = _constants(preprocess)
    size = (
        _SHORT_SIDE.format(side=preprocess.resize)
        if isinstance(preprocess.resize, int)
        else _STRETCH.format(height=preprocess.resize[0], width=preprocess.resize[1])
    )
    headers = ["float", "math", "stdint", "string"]
    if preprocess.interpolation != "lanczos":
        headers.remove("math")
    head = _HEAD.format(
        channels=preprocess.channels,
        crop_h=preprocess.crop[0],
        crop_w=preprocess.crop[1],
        interpolation=preprocess.interpolation,
        scratch_bytes=constants["SCRATCH_BYTES"],
        alignment=_ALIGNMENT,
        max_side=MAX_SIDE,
        includes="".join(f"#include <{header}.h>\n" for header in headers),
        defines="".join(f"#define {name} {value}\n" for name, value in constants.items()),
        mean=_literals(preprocess.mean, field="mean"),
        std=_literals(preprocess.std, field="std"),
    )
    body = files(__package__).joinpath("resize.c").read_text("utf-8")
    return head + _WEIGHT[preprocess.interpolation] + "\n" + size + body


def scratch_bytes(preprocess: Preprocess) -> int:
    """Bytes of scratch that the emitted function needs, for images of any size it takes.

    Mostly the taps of all columns, and a ring of as many rows of the crop as a vertical window can
    have: the crop's width times MAX_SIDE / resize in either direction. 0.9 MB for 224 of 256
    pixels, bicubic, RGB.
    """
    return int(_constants(preprocess)["SCRATCH_BYTES"])


def _constants(preprocess: Preprocess) -> dict[str, int | float]:
    channels, (crop_h, crop_w) = preprocess.channels, preprocess.crop
    resize = preprocess.resize
    height, width = (resize, resize) if isinstance(resize, int) else resize
    support = _SUPPORT[preprocess.interpolation]
    taps_x = _round_up(_most_taps(width, support=support), _GROUP)
    taps_y = _most_taps(height, support=support)
    row = channels * crop_w
    line = max(row, 3 * _STRIP)
    plane = _round_up(MAX_SIDE + _GROUP, _ALIGNMENT)
    # In bytes, in the order of struct scratch.
    arrays = (
        4 * crop_w * taps_x,
        8 * crop_w,
        channels * plane,
        4 * taps_y,
        8 * max(taps_x, taps_y),
        taps_y * row,
        4 * line,
        line,
    )
    return {
        "CHANNELS": channels,
        "CROP_H": crop_h,
        "CROP_W": crop_w,
        "ROW": row,
        "SUPPORT": support,
        "MAX_SIDE": MAX_SIDE,
        "TAPS_X": taps_x,
        "TAPS_Y": taps_y,
        "GROUP": _GROUP,
        "STRIP": _STRIP,
        "PLANE": plane,
        "LINE": line,
        "SCRATCH_BYTES": sum(_round_up(array, _ALIGNMENT) for array in arrays),
    }


def _most_taps(side: int, *, support: float) -> int:
    """Pixels that a window can have where the largest image is resized to `side`.

    The short side is at least as long after the resize as any side is asked to be, so no image
    is scaled down further than this.
    """
    reach = support * max(1.0, MAX_SIDE / side)
    return min(2 * math.ceil(reach) + 1, MAX_SIDE)


def _round_up(value: int, unit: int) -> int:
    return -(-value // unit) * unit


def _literals(values: Sequence[float], *, field: str) -> str:
    limit = float(np.finfo(np.float32).max)
    for value in values:
        if abs(value) > limit or (field == "std" and np.float32(value) == 0.0):
            raise UnsupportedError(
                f"preprocessing: {field} {value:g} has no float32; expected values in pixel units, "
                "0 to 255; write the classifier with such"
            )
    return ", ".join(c_float(value) for value in values)
