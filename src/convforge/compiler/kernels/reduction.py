"""The mean over any axes, each result in turn, summed in float64."""

from __future__ import annotations

import math
from contextlib import ExitStack
from typing import TYPE_CHECKING

from convforge.compiler.kernels.epilogue import epilogue_expression
from convforge.compiler.kernels.family import Kernel, Layer
from convforge.compiler.kernels.sums import SUMS

if TYPE_CHECKING:
    from convforge.compiler.c.writer import Writer


def _emit(layer: Layer, out: Writer) -> None:
    shape, axes = layer.inputs[0], layer.numbers("axes")
    strides = [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
    kept = [axis for axis in range(len(shape)) if axis not in axes]
    summed = sorted(axes)
    # The last summed axes that lie side by side are one run of memory, where nothing follows them.
    run = 1
    while summed and summed[-1] == len(shape) - 1 - (len(axes) - len(summed)):
        run *= shape[summed.pop()]
    with out.block("for (int unit = begin; unit < end; unit++)"):
        terms, rest = [], 1
        for axis in reversed(kept):
            place = f"unit / {rest} % {shape[axis]}" if rest > 1 else f"unit % {shape[axis]}"
            terms.append(f"{place} * {strides[axis]}")
            rest *= shape[axis]
        out.line(f"const float *x = x0 + ({' + '.join(reversed(terms)) or 0});")
        out.line("double sum = 0.0;")
        with ExitStack() as loops:
            for axis in summed:
                loops.enter_context(out.loop(f"i{axis}", shape[axis]))
            start = " + ".join(["x", *(f"i{axis} * {strides[axis]}" for axis in summed)])
            out.line(f"sum += cf_sum({start}, {run});")
        value = f"(float)(sum / {math.prod(shape[axis] for axis in axes)})"
        out.line(f"y[unit] = {epilogue_expression(layer.node.epilogue, value)};")


KERNEL = Kernel(
    "reduction",
    refuses=lambda layer: None if layer.node.op == "mean" else "not a mean",
    cost=lambda layer: float(math.prod(layer.inputs[0])),
    pack=lambda _layer: (),
    emit=_emit,
    units=lambda layer: math.prod(layer.output),
    prelude=SUMS,
)
