"""Radial basis function units: y[k] = -Σ_j (x[j] - code[k, j])².

The output layer of LeNet-5 (LeCun et al. 1998, equation 7), negated so that the nearest code has
the largest value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from convforge.compiler.kernels.epilogue import epilogue_expression
from convforge.compiler.kernels.family import Kernel, Layer

if TYPE_CHECKING:
    from convforge.compiler.c.writer import Writer


def _emit(layer: Layer, out: Writer) -> None:
    codes, features = layer.constants[0].shape
    with out.loop("k", codes):
        out.line("float sum = 0.0f;")
        with out.loop("j", features):
            out.line(f"const float d = x0[j] - w0[k * {features} + j];")
            out.line("sum += d * d;")
        out.line(f"y[k] = {epilogue_expression(layer.node.epilogue, '-sum')};")


KERNEL = Kernel(
    "rbf",
    refuses=lambda layer: None if layer.node.op == "rbf" else "not an rbf layer",
    cost=lambda layer: float(layer.constants[0].size),
    pack=lambda layer: layer.constants,
    emit=_emit,
)
