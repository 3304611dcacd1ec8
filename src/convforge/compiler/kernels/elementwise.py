"""Activations alone, sums and products of two values, with broadcasting over any axis."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from convforge.compiler.kernels.epilogue import epilogue_expression
from convforge.compiler.kernels.family import Kernel, Layer

if TYPE_CHECKING:
    from convforge.compiler.c.writer import Writer
    from convforge.compiler.ir.graph import Shape

_SIGNS = {"add": "+", "mul": "*"}


def _refuses(layer: Layer) -> str | None:
    return None if layer.node.op in {"elementwise", *_SIGNS} else "not an elementwise layer"


def _emit(layer: Layer, out: Writer) -> None:
    if layer.node.op == "elementwise":
        with out.loop("i", math.prod(layer.output)):
            out.line(f"y[i] = {epilogue_expression(layer.node.epilogue, 'x0[i]')};")
        return
    shapes = (*layer.inputs, *(constant.shape for constant in layer.constants))
    names = [f"x{i}" for i in range(len(layer.inputs))]
    names += [f"w{i}" for i in range(len(layer.constants))]
    _, c, h, w = (*layer.output, 1, 1)[:4]
    with out.loop("c", c), out.loop("h", h), out.loop("w", w):
        left, right = (
            f"{name}[{_index(shape)}]" for name, shape in zip(names, shapes, strict=True)
        )
        value = epilogue_expression(layer.node.epilogue, f"{left} {_SIGNS[layer.node.op]} {right}")
        out.line(f"y[(c * {h} + h) * {w} + w] = {value};")


def _index(shape: Shape) -> str:
    _, c, h, w = (*shape, 1, 1)[:4]
    terms = [f"c * {h * w}"] if c > 1 else []
    terms += [f"h * {w}"] if h > 1 else []
    terms += ["w"] if w > 1 else []
    return " + ".join(terms) or "0"


KERNEL = Kernel(
    "elementwise",
    refuses=_refuses,
    cost=lambda layer: float(math.prod(layer.output)),
    pack=lambda layer: layer.constants,
    emit=_emit,
)
