"""Max and average pooling on [C, H, W], the window clipped to the map.

Sliding windows are done a row of the result at a time: each tap of the window is one pass over the
row, which compilers turn into vectors. Windows that cover the map, or share it out (adaptive
pooling), are done one by one. The sum over a large window is in float64.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from convforge.compiler.c.writer import c_float
from convforge.compiler.ir.reference import adaptive_windows
from convforge.compiler.kernels.epilogue import epilogue_expression
from convforge.compiler.kernels.family import Kernel, Layer
from convforge.compiler.kernels.sums import SUMS

if TYPE_CHECKING:
    from convforge.compiler.c.writer import Writer

_ADAPTIVE = {"adaptive_avg_pool", "adaptive_max_pool"}
_LARGEST = {"max_pool", "adaptive_max_pool"}


def _refuses(layer: Layer) -> str | None:
    return None if layer.node.op in {"avg_pool", *_LARGEST, *_ADAPTIVE} else "not a pooling layer"


def _cost(layer: Layer) -> float:
    if layer.node.op in _ADAPTIVE:
        return float(math.prod(layer.inputs[0]))
    return float(math.prod(layer.output) * math.prod(layer.numbers("kernel")))


def _emit(layer: Layer, out: Writer) -> None:
    if layer.node.op in _ADAPTIVE or _covers(layer):
        _emit_windows(layer, out)
    else:
        _emit_sliding(layer, out)


def _covers(layer: Layer) -> bool:
    # One window, which is the whole map.
    return layer.numbers("kernel") == layer.inputs[0][2:] and not any(layer.numbers("padding"))


# -- windows one by one --------------------------------------------------------------------------


def _emit_windows(layer: Layer, out: Writer) -> None:
    _, _, h, w = layer.inputs[0]
    _, _, oh, ow = layer.output
    whole = (oh, ow) == (1, 1)
    if not whole:
        for name, size, count in (("rows", h, oh), ("columns", w, ow)):
            windows = ", ".join(
                f"{{{begin}, {end}}}" for begin, end in adaptive_windows(size, count)
            )
            out.line(f"static const int {name}[{count}][2] = {{{windows}}};")
    with out.block("for (int c = begin; c < end; c++)"), out.loop("h", oh), out.loop("v", ow):
        if whole:
            out.line(f"const int top = 0, bottom = 1, left = 0, right = {h * w};")
        else:
            out.line("const int top = rows[h][0], bottom = rows[h][1];")
            out.line("const int left = columns[v][0], right = columns[v][1];")
        largest = layer.node.op in _LARGEST
        out.line("float value = -INFINITY;" if largest else "double sum = 0.0;")
        with out.block("for (int r = top; r < bottom; r++)"):
            out.line(f"const float *line = x0 + (c * {h} + r) * {w};")
            if largest:
                with out.block("for (int q = left; q < right; q++)"):
                    out.line(_larger("value", "line[q]"))
            else:
                out.line("sum += cf_sum(line + left, right - left);")
        value = "value" if largest else "(float)(sum / ((bottom - top) * (right - left)))"
        result = epilogue_expression(layer.node.epilogue, value)
        out.line(f"y[(c * {oh} + h) * {ow} + v] = {result};")


# -- sliding windows -----------------------------------------------------------------------------


def _emit_sliding(layer: Layer, out: Writer) -> None:
    _, _, h, w = layer.inputs[0]
    _, _, oh, ow = layer.output
    largest = layer.node.op in _LARGEST
    if not largest:
        _emit_counts(layer, out)
    start, step = _first_tap(layer, 0)
    with out.block("for (int c = begin; c < end; c++)"), out.loop("h", oh):
        out.line(f"float row[{ow}];")
        with out.loop("v", ow):
            out.line(f"row[v] = {'-INFINITY' if largest else '0.0f'};")
        with out.loop("r", layer.numbers("kernel")[0]):
            out.line(f"const int ih = h * {step} + r * {layer.numbers('dilation')[0]} - {-start};")
            with out.block(f"if (ih < 0 || ih >= {h})"):
                out.line("continue;")
            out.line(f"const float *line = x0 + (c * {h} + ih) * {w};")
            _emit_taps(layer, out)
        value = "row[v]" if largest else f"row[v] / {_divisor(layer)}"
        with out.loop("v", ow):
            result = epilogue_expression(layer.node.epilogue, value)
            out.line(f"y[(c * {oh} + h) * {ow} + v] = {result};")


def _emit_taps(layer: Layer, out: Writer) -> None:
    width, ow = layer.inputs[0][3], layer.output[3]
    start, step = _first_tap(layer, 1)
    for q in range(layer.numbers("kernel")[1]):
        offset = start + q * layer.numbers("dilation")[1]
        # Results whose tap lies in the map: 0 <= v * step + offset < width.
        first, last = max(0, -(offset // step)), min(ow, (width - 1 - offset) // step + 1)
        if first >= last:
            continue
        with out.block(f"for (int v = {first}; v < {last}; v++)"):
            cell = f"line[v * {step} + {offset}]".replace("+ -", "- ")
            if layer.node.op in _LARGEST:
                out.line(f"const float cell = {cell};")
                out.line(_larger("row[v]", "cell"))
            else:
                out.line(f"row[v] += {cell};")


def _larger(value: str, cell: str) -> str:
    # NaN wins and stays, as in torch
    return f"{value} = {cell} > {value} || {cell} != {cell} ? {cell} : {value};"


def _first_tap(layer: Layer, axis: int) -> tuple[int, int]:
    # Place on the map of the first tap of the first window, and how far windows are apart.
    return -layer.numbers("padding")[axis], layer.numbers("stride")[axis]


def _emit_counts(layer: Layer, out: Writer) -> None:
    # How many taps of each row and column count; they multiply.
    for axis, name in enumerate(("rows", "columns")):
        counts = counted_taps(layer, axis)
        if len(set(counts)) > 1:
            numbers = ", ".join(f"{count}.0f" for count in counts)
            out.line(f"static const float {name}[{len(counts)}] = {{{numbers}}};")


def counted_taps(layer: Layer, axis: int) -> list[int]:
    """How many rows (axis 0) or columns (axis 1) of each window count in its average."""
    size, counted = layer.inputs[0][axis + 2], layer.numbers("counted")
    taps = range(layer.numbers("kernel")[axis])
    start, step = _first_tap(layer, axis)
    dilation = layer.numbers("dilation")[axis]
    return [
        sum(
            -counted[axis] <= start + i * step + tap * dilation < size + counted[axis + 2]
            for tap in taps
        )
        for i in range(layer.output[axis + 2])
    ]


def _divisor(layer: Layer) -> str:
    rows, columns = counted_taps(layer, 0), counted_taps(layer, 1)
    if len({*rows}) == len({*columns}) == 1:
        return c_float(rows[0] * columns[0])
    row = "rows[h]" if len({*rows}) > 1 else f"{rows[0]}.0f"
    column = "columns[v]" if len({*columns}) > 1 else f"{columns[0]}.0f"
    return f"({row} * {column})"


KERNEL = Kernel(
    "pooling",
    refuses=_refuses,
    cost=_cost,
    pack=lambda _layer: (),
    emit=_emit,
    units=lambda layer: layer.output[1],
    prelude=SUMS,
)
