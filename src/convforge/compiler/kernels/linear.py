"""Fully connected layers, and convolutions whose kernel covers the whole map: y = W x + b.

Weights are packed as [blocks of 16 outputs][inputs][16], so that one input is multiplied with 16
weights that lie side by side and no sum has to be taken across a vector.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from convforge.compiler.kernels.epilogue import epilogue_expression
from convforge.compiler.kernels.family import Kernel, Layer

if TYPE_CHECKING:
    from convforge.compiler.c.writer import Writer
    from convforge.compiler.ir.graph import Array

_LANES = 16


def _refuses(layer: Layer) -> str | None:
    if layer.node.op == "linear":
        return None
    if layer.node.op != "conv2d":
        return "not a linear layer"
    covers = layer.constants[0].shape[1:] == layer.inputs[0][1:] and not any(
        layer.numbers("padding")
    )
    return None if covers and layer.numbers("dilation") == (1, 1) else "more than one position"


def _cost(layer: Layer) -> float:
    return layer.constants[0].size / 16  # vector operations of 16 outputs, no tile's way out


def _pack(layer: Layer) -> tuple[Array, ...]:
    weight, *bias = layer.constants
    rows = weight.reshape(weight.shape[0], -1)
    blocks = math.ceil(len(rows) / _LANES)
    padded = np.zeros((blocks * _LANES, rows.shape[1]), np.float32)
    padded[: len(rows)] = rows
    packed = padded.reshape(blocks, _LANES, -1).transpose(0, 2, 1)
    start = np.zeros(blocks * _LANES, np.float32)
    if bias:
        start[: len(rows)] = bias[0]
    return np.ascontiguousarray(packed), start


def _emit(layer: Layer, out: Writer) -> None:
    inputs, outputs = math.prod(layer.inputs[0]), math.prod(layer.output)
    with out.block(f"for (int o = 0; o < {outputs}; o += {_LANES})"):
        out.line(f"const float *w = w0 + (long)o * {inputs};")
        out.line(f"float sum[{_LANES}];")
        with out.loop("j", _LANES):
            out.line("sum[j] = w1[o + j];")
        with out.loop("i", inputs):
            out.line("const float v = x0[i];")
            with out.loop("j", _LANES):
                out.line(f"sum[j] += v * w[i * {_LANES} + j];")
        last = "" if outputs % _LANES == 0 else f" && o + j < {outputs}"
        with out.block(f"for (int j = 0; j < {_LANES}{last}; j++)"):
            out.line(f"y[o + j] = {epilogue_expression(layer.node.epilogue, 'sum[j]')};")


KERNEL = Kernel("linear", refuses=_refuses, cost=_cost, pack=_pack, emit=_emit)
