"""What only moves values: concatenation along channels, padding."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from convforge.compiler.c.writer import c_float
from convforge.compiler.kernels.family import Kernel, Layer

if TYPE_CHECKING:
    from convforge.compiler.c.writer import Writer


def _refuses(layer: Layer) -> str | None:
    if layer.node.op not in {"concat", "pad"}:
        return "computes something"
    return "a constant among what it joins" if layer.constants else None


def _emit(layer: Layer, out: Writer) -> None:
    if layer.node.op == "pad":
        _emit_pad(layer, out)
        return
    start = 0
    for i, shape in enumerate(layer.inputs):
        count = math.prod(shape)
        out.line(f"memcpy(y + {start}, x{i}, {count} * sizeof(float));")
        start += count


def _emit_pad(layer: Layer, out: Writer) -> None:
    _, c, h, w = layer.inputs[0]
    _, _, oh, ow = layer.output
    (top, left, _, _), (before, _) = layer.numbers("padding"), layer.numbers("channels")
    with out.loop("i", math.prod(layer.output)):
        out.line(f"y[i] = {c_float(layer.real('fill'))};")
    with out.loop("c", c), out.loop("h", h):
        target = f"y + ((c + {before}) * {oh} + h + {top}) * {ow} + {left}"
        out.line(f"memcpy({target}, x0 + (c * {h} + h) * {w}, {w} * sizeof(float));")


KERNEL = Kernel(
    "reorder",
    refuses=_refuses,
    cost=lambda layer: float(math.prod(layer.output)),
    pack=lambda _layer: (),
    emit=_emit,
)
