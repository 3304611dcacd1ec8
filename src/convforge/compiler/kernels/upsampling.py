"""Upsampling of maps [C, H, W]: each row and column of the result names one of the map, or two.

nearest:   y[h, w] = x[rows[h], columns[w]]
bilinear:  between the named row and the one below it, and likewise for columns, by weights
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from convforge.compiler.kernels.epilogue import epilogue_expression
from convforge.compiler.kernels.family import Kernel, Layer

if TYPE_CHECKING:
    from convforge.compiler.c.writer import Writer


def _refuses(layer: Layer) -> str | None:
    known = {"upsample_nearest", "upsample_bilinear"}
    return None if layer.node.op in known else "not an upsampling layer"


def _emit(layer: Layer, out: Writer) -> None:
    _, _, h, w = layer.inputs[0]
    _, _, oh, ow = layer.output
    for name in ("rows", "columns"):
        places = layer.numbers(name)
        out.line(f"static const int {name}[{len(places)}] = {{{', '.join(map(str, places))}}};")
    with out.block("for (int c = begin; c < end; c++)"), out.loop("h", oh):
        out.line(f"const float *line = x0 + (c * {h} + rows[h]) * {w};")
        if layer.node.op == "upsample_nearest":
            with out.loop("v", ow):
                out.line(f"y[(c * {oh} + h) * {ow} + v] = line[columns[v]];")
            return
        out.line(f"const float *below = rows[h] < {h - 1} ? line + {w} : line;")
        with out.loop("v", ow):
            out.line("const int q = columns[v];")
            out.line(f"const int next = q < {w - 1} ? q + 1 : q;")
            out.line("const float left = line[q] * (1.0f - w0[h]) + below[q] * w0[h];")
            out.line("const float right = line[next] * (1.0f - w0[h]) + below[next] * w0[h];")
            value = "left * (1.0f - w1[v]) + right * w1[v]"
            result = epilogue_expression(layer.node.epilogue, value)
            out.line(f"y[(c * {oh} + h) * {ow} + v] = {result};")


KERNEL = Kernel(
    "upsampling",
    refuses=_refuses,
    cost=lambda layer: float(math.prod(layer.output)),
    pack=lambda layer: layer.constants,
    emit=_emit,
    units=lambda layer: layer.output[1],
)
