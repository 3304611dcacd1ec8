"""What needs all places on one axis before it gives any: layer normalisation, softmax.

Values are seen as [outer, length, inner] with the axis in the middle. 64 places of the inner axes
are done at a time, so that loops over them become vectors and what is read again is still near.
Sums are in float64, and the variance is taken around the mean, in a second pass.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from convforge.compiler.c.writer import c_float
from convforge.compiler.kernels.epilogue import epilogue_expression
from convforge.compiler.kernels.family import Kernel, Layer
from convforge.compiler.kernels.sums import SUMS

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from convforge.compiler.c.writer import Writer

_BLOCK = 64
_PIECE = 256  # squares that are kept until they are added up


def _refuses(layer: Layer) -> str | None:
    known = {"layer_norm", "softmax"}
    return None if layer.node.op in known else "not a normalisation along an axis"


def _sizes(layer: Layer) -> tuple[int, int, int]:
    axis, shape = layer.number("axis"), layer.output
    return math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :])


def _units(layer: Layer) -> int:
    outer, _, inner = _sizes(layer)
    return outer * math.ceil(inner / _BLOCK)


def _emit(layer: Layer, out: Writer) -> None:
    _, length, inner = _sizes(layer)
    blocks = math.ceil(inner / _BLOCK)
    with out.block("for (int unit = begin; unit < end; unit++)"):
        if blocks == 1:
            start, width = f"unit * {length * inner}", str(inner)
        else:
            start = f"unit / {blocks} * {length * inner} + unit % {blocks} * {_BLOCK}"
            width = str(_BLOCK) if inner % _BLOCK == 0 else "width"
        out.line(f"const float *x = x0 + ({start});")
        out.line(f"float *to = y + ({start});")
        if width == "width":
            last = f"unit % {blocks} == {blocks - 1}"
            out.line(f"const int width = {last} ? {inner % _BLOCK} : {_BLOCK};")
        if layer.node.op == "softmax":
            _emit_softmax(layer, out, width=width)
        else:
            _emit_layer_norm(layer, out, width=width)


def _emit_layer_norm(layer: Layer, out: Writer, *, width: str) -> None:
    _, length, inner = _sizes(layer)
    size = min(inner, _BLOCK)
    out.line(f"float mean[{size}], scale[{size}];")
    if inner == 1:
        out.line(f"mean[0] = (float)(cf_sum(x, {length}) / {length});")
        out.line("double squares = 0.0;")
        with out.block(f"for (int k = 0; k < {length}; k += {_PIECE})"):
            out.line(f"const int count = {length} - k < {_PIECE} ? {length} - k : {_PIECE};")
            out.line(f"float piece[{_PIECE}];")
            with out.block("for (int i = 0; i < count; i++)"):
                out.line("piece[i] = (x[k + i] - mean[0]) * (x[k + i] - mean[0]);")
            out.line("squares += cf_sum(piece, count);")
        out.line(f"scale[0] = {_inverse_root(layer, f'squares / {length}')};")
    else:
        out.line(f"double sum[{size}] = {{0.0}}, squares[{size}] = {{0.0}};")
        with out.loop("k", length), _places(out, width):
            out.line(f"sum[i] += (double)x[k * {inner} + i];")
        with _places(out, width):
            out.line(f"mean[i] = (float)(sum[i] / {length});")
        with out.loop("k", length), _places(out, width):
            out.line(f"const float d = x[k * {inner} + i] - mean[i];")
            out.line("squares[i] += (double)(d * d);")
        with _places(out, width):
            out.line(f"scale[i] = {_inverse_root(layer, f'squares[i] / {length}')};")
    with out.loop("k", length), _places(out, width):
        value = f"(x[k * {inner} + i] - mean[i]) * scale[i]"
        value += " * w0[k] + w1[k]" if layer.constants else ""
        out.line(f"to[k * {inner} + i] = {epilogue_expression(layer.node.epilogue, value)};")


def _inverse_root(layer: Layer, variance: str) -> str:
    return f"1.0f / sqrtf((float)({variance}) + {c_float(layer.real('eps'))})"


def _emit_softmax(layer: Layer, out: Writer, *, width: str) -> None:
    _, length, inner = _sizes(layer)
    size = min(inner, _BLOCK)
    out.line(f"float largest[{size}];")
    out.line(f"double sum[{size}] = {{0.0}};")
    with _places(out, width):
        out.line("largest[i] = x[i];")
    with out.loop("k", length), _places(out, width):
        out.line(f"const float v = x[k * {inner} + i];")
        # NaN wins and stays: the whole result is NaN then, as in torch
        out.line("largest[i] = v > largest[i] || v != v ? v : largest[i];")
    with out.loop("k", length), _places(out, width):
        out.line(f"const float e = expf(x[k * {inner} + i] - largest[i]);")
        out.line("sum[i] += (double)e;")
        out.line(f"to[k * {inner} + i] = e;")
    with out.loop("k", length), _places(out, width):
        value = f"(float)(to[k * {inner} + i] / sum[i])"
        out.line(f"to[k * {inner} + i] = {epilogue_expression(layer.node.epilogue, value)};")


def _places(out: Writer, width: str) -> AbstractContextManager[None]:
    return out.block(f"for (int i = 0; i < {width}; i++)")


KERNEL = Kernel(
    "normalization",
    refuses=_refuses,
    cost=lambda layer: float(math.prod(layer.output)),
    pack=lambda layer: layer.constants,
    emit=_emit,
    units=_units,
    prelude=SUMS,
)
