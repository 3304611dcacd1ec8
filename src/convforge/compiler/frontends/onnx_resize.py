"""ONNX's Resize of maps: nearest and linear, in every coordinate mode that needs no region.

The graph holds the row and column that each result reads, so the coordinates are computed here,
in float64, and nothing is left to a formula. A scale that is no float32 (0.6) puts a coordinate
next to the whole or half place that it means (3 / 0.6 is 5): the nearest cell is that place's.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from convforge.compiler.frontends.onnx_call import Call, Unsupported, Value, axes_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Places = NDArray[np.float64]

POLICIES = {"not_larger": min, "not_smaller": max}

ROUNDED: dict[str, Callable[[Places], Places]] = {
    "round_prefer_floor": lambda x: np.ceil(x - 0.5),
    "round_prefer_ceil": lambda x: np.floor(x + 0.5),
    "floor": np.floor,
    "ceil": np.ceil,
}


def resize(call: Call) -> Value:
    """Resize of height and width; other axes keep their size."""
    x, mode = call.x(), call.word("mode", "nearest")
    if mode not in {"nearest", "linear"}:
        raise Unsupported(f"mode {mode!r}; nearest and linear are supported")
    if call.whole("antialias", 0):
        raise Unsupported("antialias=1; 0 is supported")
    coordinates = call.word("coordinate_transformation_mode", "half_pixel")
    rounding = call.word("nearest_mode", "round_prefer_floor")
    if call.whole("exclude_outside", 0) and mode == "linear":
        raise Unsupported("exclude_outside=1; 0 is supported with mode 'linear'")
    call.ignore("cubic_coeff_a", "extrapolation_value")  # of modes that are not supported
    call.operand(1)  # a region, of a coordinate mode that is not supported
    found = _sizes(call, x)
    if len(x.shape) != 4 or any(found[axis] != (1.0, x.shape[axis]) for axis in (0, 1)):
        sizes = [size for _, size in found]
        raise Unsupported(f"{list(x.shape)} becomes {sizes}; height and width of maps may change")
    places = [
        _coordinates(coordinates, length=x.shape[axis], scale=found[axis][0], size=found[axis][1])
        for axis in (2, 3)
    ]
    last = [length - 1 for length in x.shape[2:]]
    if mode == "nearest":
        if rounding not in ROUNDED:
            raise Unsupported(f"nearest_mode {rounding!r}; {', '.join(ROUNDED)} are supported")
        rows, columns = (
            _whole(ROUNDED[rounding](_meant(line)), end)
            for line, end in zip(places, last, strict=True)
        )
        return call.emit("upsample_nearest", x, rows=rows, columns=columns)
    clipped = [np.clip(line, 0, end) for line, end in zip(places, last, strict=True)]
    rows, columns = (_whole(line, end) for line, end in zip(clipped, last, strict=True))
    shares = [(line - np.floor(line)).astype(np.float32) for line in clipped]
    return call.emit("upsample_bilinear", x, *shares, rows=rows, columns=columns)


def _sizes(call: Call, x: Value) -> list[tuple[float, int]]:
    """Scale and size of the result for every axis, from scales or from sizes."""
    scales, sizes = call.optional_weight(2), call.integers(3)
    policy = call.word("keep_aspect_ratio_policy", "stretch")
    rank = len(x.shape)
    axes = call.wholes("axes", None) or tuple(range(rank))
    axes_of(axes, rank)
    result = [(1.0, size) for size in x.shape]
    if scales is not None and scales.array.size:
        given = [float(scale) for scale in scales.array.reshape(-1)]
        ends = [
            int(np.float32(x.shape[a]) * np.float32(s)) for a, s in zip(axes, given, strict=False)
        ]
    elif sizes:
        given = [size / x.shape[axis] for axis, size in zip(axes, sizes, strict=False)]
        ends = list(sizes)
        if policy in POLICIES:
            given = [POLICIES[policy](given)] * len(given)
            ends = [math.floor(s * x.shape[a] + 0.5) for a, s in zip(axes, given, strict=False)]
        elif policy != "stretch":
            raise Unsupported(f"keep_aspect_ratio_policy {policy!r}; stretch is supported")
    else:
        raise Unsupported("neither scales nor sizes")
    if len(given) != len(axes) or min(ends) < 1 or min(given) <= 0:
        raise Unsupported(f"scales {given} of axes {list(axes)} of {list(x.shape)}")
    for axis, scale, end in zip(axes, given, ends, strict=True):
        result[axis] = (scale, end)
    return result


def _coordinates(mode: str, *, length: int, scale: float, size: int) -> Places:
    """Where in a line of `length` each of `size` results lies."""
    i = np.arange(size, dtype=np.float64)
    if mode == "asymmetric":
        return i / scale
    if mode == "align_corners":
        if not math.isclose(length * scale, size, rel_tol=1e-6):
            raise Unsupported(
                f"align_corners with a scale of {scale:g} for {length}, no whole size; ONNX "
                "and its runtimes differ there"
            )
        return i * (length - 1) / (size - 1) if size > 1 else 0 * i
    half = (i + 0.5) / scale - 0.5
    if mode == "half_pixel":
        return half
    if mode == "pytorch_half_pixel":
        return half if size > 1 else 0 * i
    if mode == "half_pixel_symmetric":
        return half + length / 2 * (1 - size / (scale * length))
    raise Unsupported(
        f"coordinate_transformation_mode {mode!r}; half_pixel, half_pixel_symmetric, asymmetric, "
        "align_corners and pytorch_half_pixel are supported"
    )


def _meant(places: Places) -> Places:
    near = np.round(2 * places) / 2
    return np.where(np.abs(places - near) <= 1e-6 * (1 + near), near, places)


def _whole(places: Places, last: int) -> tuple[int, ...]:
    return tuple(int(place) for place in np.clip(np.floor(places), 0, last))
