"""The meaning of operations on numbers of one byte, in whole numbers: kernels give the same bits.

A sum of products is brought to the scale of the result in 16 bits, as vector instructions do it
(`vpmulhrsw` and its kin), so that every machine gives the same:

    v = saturated(sum >> shift)                    16 bits
    e = (v · multiplier + 2¹⁴) >> 15               a number of the result's scale
    y = clip(e, 0, top), or what a table of 256 has at clip(e, 0, 255)

`top`, the largest byte of the result, is 255, or 127 where maps have seven bits.
The rounding of the first line and the result's zero are in the bias. With an addend e has FRACTION
more bits, of which the sum is rounded. After Jacob et al. 2018 (Quantization and training of neural
networks for efficient integer-arithmetic-only inference), section 2.2, whose multiplier has 32
bits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Values: TypeAlias = Any  # as in reference.py

FRACTION = 4  # bits behind the point of what is added
_SCALED = 2**15


def quantize(x: Values, attrs: Mapping[str, Any]) -> Values:
    """Numbers to bytes, halves to the even one."""
    scaled = np.rint(x * x.dtype.type(1 / attrs["scale"]))
    return np.clip(scaled + attrs["zero"], 0, attrs["top"]).astype(x.dtype)


def dequantize(x: Values, attrs: Mapping[str, Any]) -> Values:
    """Bytes to numbers."""
    return (x - x.dtype.type(attrs["zero"])) * x.dtype.type(attrs["scale"])


def conv2d_int8(
    inputs: list[Values], attrs: Mapping[str, Any], convolve: Callable[..., Values]
) -> Values:
    """A convolution, whose border holds `zero_in`; `convolve` is that of other numbers."""
    x, *rest = inputs
    return _finish(_sums(x, rest, attrs, convolve), rest, attrs).astype(x.dtype)


def conv2d_add_int8(
    inputs: list[Values], attrs: Mapping[str, Any], convolve: Callable[..., Values]
) -> Values:
    """The same with an addend, whose scale is `addend` / 2¹² of the result's."""
    x, addend, *rest = inputs
    sums = _sums(x, rest, attrs, convolve)
    both = np.clip(sums + _rounded(_whole(addend) << 7, attrs["addend"]), -(2**15), 2**15 - 1)
    return _finish(_rounded(both, _SCALED >> FRACTION), rest, attrs).astype(x.dtype)


def mul_int8(inputs: list[Values], attrs: Mapping[str, Any]) -> Values:
    """Maps times a factor each, which is rounded to 12 bits behind the point."""
    x, factor = inputs
    kind = factor.dtype.type
    multiplier = _whole(np.rint(np.clip(factor * kind(attrs["ratio"] * 4096), -32767, 32767)))
    fine = _rounded((_whole(x) - attrs["zero_in"]) << 7, multiplier)
    y = _rounded(fine, _SCALED >> FRACTION) + attrs["zero"]
    return np.clip(y, 0, attrs["top"]).astype(x.dtype)


def mean_int8(x: Values, attrs: Mapping[str, Any]) -> Values:
    """Mean of each map."""
    cells = x.shape[2] * x.shape[3]
    total = x.sum(axis=(2, 3), keepdims=True) - attrs["zero"] * cells
    return total * x.dtype.type(attrs["scale"] / cells)


def linear_int8(inputs: list[Values], attrs: Mapping[str, Any]) -> Values:
    """A fully connected layer of maps, whose sums become numbers of the usual kind."""
    x, weight, bias, scale = inputs
    # Exact in float64, and a matter of seconds for VGG's, which in whole numbers it is not.
    cells = x.reshape(len(x), -1).astype(np.float64) - attrs["zero_in"]
    sums = cells @ weight.reshape(len(weight), -1).astype(np.float64).T
    return sums.astype(x.dtype) * scale + bias


def _sums(
    x: Values, rest: list[Values], attrs: Mapping[str, Any], convolve: Callable[..., Values]
) -> Values:
    weight, bias, multiplier, shift = (_whole(array) for array in rest[:4])
    # Exact in float64: 255 · 127 times the largest fan-in is far below 2⁵³.
    centred = x.astype(np.float64) - attrs["zero_in"]
    sums = _whole(convolve([centred, weight.astype(np.float64)], attrs))
    start = bias + attrs["zero_in"] * weight.sum(axis=(1, 2, 3))
    v = (sums + _each(start)) >> _each(shift)
    return _rounded(np.clip(v, -(2**15), 2**15 - 1), _each(multiplier))


def _finish(scaled: Values, rest: list[Values], attrs: Mapping[str, Any]) -> Values:
    if len(rest) > 4:
        return _whole(rest[4])[np.clip(scaled, 0, 255)]
    return np.clip(scaled, 0, attrs["top"])


def _rounded(x: Values, multiplier: Values) -> Values:
    return (x * multiplier + 2**14) >> 15


def _each(parameter: Values) -> Values:
    return parameter[:, None, None]


def _whole(x: Values) -> Values:
    return np.asarray(x).astype(np.int64)
