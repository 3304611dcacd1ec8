"""Max and average pooling by their definition, on [C, H, W]; the window is clipped to the map."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from convforge.compiler.c.writer import c_float
from convforge.compiler.kernels.epilogue import epilogue_expression
from convforge.compiler.kernels.family import Kernel, Layer

if TYPE_CHECKING:
    from convforge.compiler.c.writer import Writer


def _refuses(layer: Layer) -> str | None:
    return None if layer.node.op in {"max_pool", "avg_pool"} else "not a pooling layer"


def _cost(layer: Layer) -> float:
    return float(math.prod(layer.output) * math.prod(layer.numbers("kernel")))


def _emit(layer: Layer, out: Writer) -> None:
    _, c, h, w = layer.inputs[0]
    _, _, oh, ow = layer.output
    kernel, dilation = layer.numbers("kernel"), layer.numbers("dilation")
    largest = layer.node.op == "max_pool"
    with out.loop("c", c), out.loop("oh", oh), out.loop("ow", ow):
        out.line(f"float value = {'-INFINITY' if largest else '0.0f'};")
        if not largest and not layer.number("count_padding"):
            out.line("int count = 0;")
        with out.loop("r", kernel[0]):
            _emit_position(layer, out, axis=0, name="ih", position=f"oh,r,{dilation[0]}", size=h)
            with out.loop("q", kernel[1]):
                _emit_position(
                    layer, out, axis=1, name="iw", position=f"ow,q,{dilation[1]}", size=w
                )
                out.line(f"const float cell = x0[(c * {h} + ih) * {w} + iw];")
                _emit_cell(layer, out)
        out.line(f"y[(c * {oh} + oh) * {ow} + ow] = {_result(layer)};")


def _emit_position(
    layer: Layer, out: Writer, *, axis: int, name: str, position: str, size: int
) -> None:
    index, tap, dilation = position.split(",")
    padding, stride = layer.numbers("padding"), layer.numbers("stride")[axis]
    before, after = padding[axis], padding[axis + 2]
    out.line(f"const int {name} = {index} * {stride} + {tap} * {dilation} - {before};")
    if before or after:
        with out.block(f"if ({name} < 0 || {name} >= {size})"):
            out.line("continue;")


def _emit_cell(layer: Layer, out: Writer) -> None:
    if layer.node.op == "max_pool":
        # NaN wins and stays, as in torch
        out.line("value = cell > value || cell != cell ? cell : value;")
        return
    out.line("value += cell;")
    if not layer.number("count_padding"):
        out.line("count++;")


def _result(layer: Layer) -> str:
    if layer.node.op == "max_pool":
        value = "value"
    elif layer.number("count_padding"):
        value = f"value / {c_float(math.prod(layer.numbers('kernel')))}"
    else:
        value = "value / (float)count"
    return epilogue_expression(layer.node.epilogue, value)


KERNEL = Kernel("pooling", refuses=_refuses, cost=_cost, pack=lambda _layer: (), emit=_emit)
