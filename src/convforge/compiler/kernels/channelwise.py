"""What works along channels: a scale and shift a channel, a slope a channel, LRN."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from convforge.compiler.c.writer import c_float
from convforge.compiler.kernels.epilogue import epilogue_expression
from convforge.compiler.kernels.family import Kernel, Layer

if TYPE_CHECKING:
    from convforge.compiler.c.writer import Writer

_VALUES = {"scale_shift": "{x} * w0[c] + w1[c]", "prelu": "{x} < 0.0f ? {x} * w0[c] : {x}"}


def _refuses(layer: Layer) -> str | None:
    return None if layer.node.op in {"lrn", *_VALUES} else "not a channelwise layer"


def _emit(layer: Layer, out: Writer) -> None:
    cells = math.prod(layer.output[2:])
    if layer.node.op == "lrn":
        _emit_lrn(layer, out, channels=layer.output[1], cells=cells)
        return
    with out.block("for (int c = begin; c < end; c++)"), out.loop("i", cells):
        value = _VALUES[layer.node.op].format(x=f"x0[c * {cells} + i]")
        out.line(f"y[c * {cells} + i] = {epilogue_expression(layer.node.epilogue, value)};")


def _emit_lrn(layer: Layer, out: Writer, *, channels: int, cells: int) -> None:
    # Krizhevsky et al. 2012, section 3.3: size/2 channels before and the rest after, clipped.
    size = layer.number("size")
    k, alpha, beta = (c_float(layer.real(key)) for key in ("k", "alpha", "beta"))
    with out.block("for (int c = begin; c < end; c++)"):
        out.line(f"const int from = c < {size // 2} ? 0 : c - {size // 2};")
        out.line(f"const int last = c + {size - 1 - size // 2};")
        out.line(f"const int to = last < {channels} ? last : {channels - 1};")
        with out.loop("i", cells):
            out.line("float sum = 0.0f;")
            with out.block("for (int n = from; n <= to; n++)"):
                out.line(f"sum += x0[n * {cells} + i] * x0[n * {cells} + i];")
            value = f"x0[c * {cells} + i] / powf({k} + {alpha} * sum, {beta})"
            out.line(f"y[c * {cells} + i] = {epilogue_expression(layer.node.epilogue, value)};")


KERNEL = Kernel(
    "channelwise",
    refuses=_refuses,
    cost=lambda layer: float(math.prod(layer.output)),
    pack=lambda layer: layer.constants,
    emit=_emit,
    units=lambda layer: layer.output[1],
)
