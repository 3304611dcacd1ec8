"""Convolution by its definition: any kernel, stride, padding, dilation and groups, on [C, H, W].

    y[o, h, w] = b[o] + Σ_{i, r, q} W[o, i, r, q] · x[i, h·SH + r·DH - top, w·SW + q·DW - left]

A cross-correlation, as networks use it (the kernel is not flipped). One row of the output is
accumulated at a time, so that the innermost loop runs over columns and vectorises. This is the slow
twin that faster convolutions are held against, and what takes the shapes that they do not.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from convforge.compiler.kernels.epilogue import epilogue_expression
from convforge.compiler.kernels.family import CONVOLUTIONS, Kernel, Layer

if TYPE_CHECKING:
    from convforge.compiler.c.writer import Writer
    from convforge.compiler.ir.graph import Array


def _refuses(layer: Layer) -> str | None:
    return None if layer.node.op in CONVOLUTIONS else "not a convolution"


def _cost(layer: Layer) -> float:
    # Vector operations of 16 columns, a few more a row however short it is. Each sum is loaded
    # and stored for each product: measured, four times as long as one that stays in a register.
    _, oc, oh, ow = layer.output
    return float(4 * oc * oh * (math.ceil(ow / 16) + 1) * math.prod(layer.constants[0].shape[1:]))


def _pack(layer: Layer) -> tuple[Array, ...]:
    weight, *bias = layer.constants
    return weight, bias[0] if bias else np.zeros(weight.shape[0], np.float32)


def _emit(layer: Layer, out: Writer) -> None:
    _, ic, h, w = layer.inputs[0]
    _, oc, oh, ow = layer.output
    icg, kh, kw = layer.constants[0].shape[1:]
    stride, dilation = layer.numbers("stride"), layer.numbers("dilation")
    top, left, bottom, _ = layer.numbers("padding")
    out.line(f"float row[{ow}];")
    with out.loop("o", oc), out.loop("h", oh):
        group = f"o / {oc // layer.number('groups')}" if icg != ic else "0"
        with out.loop("q", ow):
            out.line("row[q] = w1[o];")
        with out.loop("i", icg), out.loop("r", kh):
            out.line(f"const int ih = h * {stride[0]} + r * {dilation[0]} - {top};")
            if top or bottom:
                with out.block(f"if (ih < 0 || ih >= {h})"):
                    out.line("continue;")
            out.line(f"const float *line = x0 + (({group} * {icg} + i) * {h} + ih) * {w};")
            out.line(f"const float *taps = w0 + ((o * {icg} + i) * {kh} + r) * {kw};")
            offsets = [q * dilation[1] - left for q in range(kw)]
            spans = [_span(offset, step=stride[1], columns=ow, width=w) for offset in offsets]
            for q, (offset, (first, last)) in enumerate(zip(offsets, spans, strict=True)):
                if first < last:
                    with out.block(f"for (int c = {first}; c < {last}; c++)"):
                        out.line(f"row[c] += taps[{q}] * line[c * {stride[1]} + {offset}];")
            if all(first >= last for first, last in spans):  # all columns lie in the padding
                out.line("(void)line;")
                out.line("(void)taps;")
        with out.loop("q", ow):
            result = f"(o * {oh} + h) * {ow} + q"
            addend = f" + x1[{result}]" if layer.node.op == "conv2d_add" else ""
            value = epilogue_expression(layer.node.epilogue, f"row[q]{addend}")
            out.line(f"y[{result}] = {value};")


def _span(offset: int, *, step: int, columns: int, width: int) -> tuple[int, int]:
    # First and last + 1 of the columns c whose input lies inside the map:
    # 0 ≤ c · step + offset < width.
    return max(0, -(offset // step)), min(columns, (width - 1 - offset) // step + 1)


KERNEL = Kernel("conv_direct", refuses=_refuses, cost=_cost, pack=_pack, emit=_emit)
