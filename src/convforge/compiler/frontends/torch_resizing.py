"""Handlers of upsampling: torch's rules say which row and column of the map each result is from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from convforge.compiler.frontends.torch_call import Unsupported, arguments, shape_of

if TYPE_CHECKING:
    from torch import fx

    from convforge.compiler.frontends.torch import Reader


def nearest(reader: Reader, node: fx.Node) -> None:
    """aten.upsample_nearest2d: cell ⌊i · scale⌋, in float32 as torch computes it."""
    a = arguments(node)
    (_, _, *before), (_, _, *after) = shape_of(a["input"]), shape_of(node)
    places = [_nearest_places(before[i], after[i], scale) for i, scale in enumerate(_scales(a))]
    attrs = {"rows": places[0], "columns": places[1]}
    reader.emit(node, "upsample_nearest", [reader.value(a["input"])], attrs=attrs)


def _nearest_places(before: int, after: int, scale: float | None) -> tuple[int, ...]:
    if after in {before, 2 * before}:
        return tuple(i * before // after for i in range(after))
    step = np.float32(before) / np.float32(after) if scale is None else np.float32(1 / scale)
    return tuple(min(int(np.float32(i) * step), before - 1) for i in range(after))


def bilinear(reader: Reader, node: fx.Node) -> None:
    """aten.upsample_bilinear2d: place i · scale, or (i + 1/2) · scale - 1/2 from pixel to pixel."""
    a = arguments(node)
    (_, _, *before), (_, _, *after) = shape_of(a["input"]), shape_of(node)
    inputs, attrs = [reader.value(a["input"])], {}
    for i, (name, scale) in enumerate(zip(("rows", "columns"), _scales(a), strict=True)):
        index = np.arange(after[i], dtype=np.float64)
        if a["align_corners"]:
            place = index * ((before[i] - 1) / max(after[i] - 1, 1))
        else:
            step = before[i] / after[i] if scale is None else 1 / scale
            place = np.maximum((index + 0.5) * step - 0.5, 0)
        first = np.minimum(place.astype(int), before[i] - 1)
        attrs[name] = tuple(first.tolist())
        inputs.append(reader.constant(np.minimum(place - first, 1), f"{name}.weight"))
    reader.emit(node, "upsample_bilinear", inputs, attrs=attrs)


def _scales(a: dict[str, Any]) -> tuple[float | None, float | None]:
    # Of both axes, None where only the size was given; then what scales is the ratio of sizes.
    if "scale_factors" in a:
        height, width = a["scale_factors"] or (None, None)
        return height, width
    return a["scales_h"], a["scales_w"]


def index(reader: Reader, node: fx.Node) -> None:
    """aten.index by constants along height and width: what padding by reflection becomes."""
    source = node.args[0]
    indices: Any = node.args[1]
    shape = shape_of(source)
    found = [None if i is None else reader.tensors.get(i) for i in indices]
    found += [None] * (len(shape) - len(found))
    unknown = any(i is not None and i not in reader.tensors for i in indices)
    if unknown or len(shape) != 4 or any(place is not None for place in found[:2]):
        raise Unsupported(f"indices into {shape}; constant ones of rows and columns are supported")
    rows, columns = found[2:]
    # Both at once are the rows as [OH, 1] and the columns as [OW]; others pick single cells.
    if rows is not None and (rows.ndim, columns.ndim if columns is not None else 0) not in {
        (1, 0),
        (2, 1),
    }:
        raise Unsupported(
            f"indices of shape {tuple(rows.shape)}; whole rows and columns are supported"
        )
    attrs = {
        name: tuple(range(size)) if places is None else _from_zero(places, size)
        for name, places, size in (("rows", rows, shape[2]), ("columns", columns, shape[3]))
    }
    reader.emit(node, "upsample_nearest", [reader.value(source)], attrs=attrs)


def _from_zero(places: Any, size: int) -> tuple[int, ...]:
    return tuple(int(place) % size for place in places.ravel().tolist())
