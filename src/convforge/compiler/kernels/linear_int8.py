"""A fully connected layer of bytes, whose results are numbers of the usual kind.

    y = scale · Σ W · (x - zero) + bias

Weights are packed as [16 outputs][four inputs][16][4]; what x's zero adds to a sum is taken off
afterwards, from the sums of the weights.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from convforge.compiler.kernels import maps_int8
from convforge.compiler.kernels.conv_int8 import as_floats
from convforge.compiler.kernels.epilogue import epilogue_loop_name
from convforge.compiler.kernels.family import LANES, Kernel, Layer, Layout

if TYPE_CHECKING:
    from convforge.compiler.c.writer import Writer
    from convforge.compiler.ir.graph import Array
    from convforge.compiler.kernels.family import Layouts

_WORD = 4


def _refuses(layer: Layer) -> str | None:
    return None if layer.node.op == "linear_int8" else "not a linear layer of bytes"


def _layouts(_layer: Layer) -> tuple[Layouts, ...]:
    return ((Layout.BYTES, Layout.PLANAR),)


def _cost(layer: Layer) -> float:
    return layer.constants[0].size / 64


def _pack(layer: Layer) -> tuple[Array, ...]:
    weight, bias, scale = layer.constants
    outputs, inputs = weight.shape
    blocks, words = -(-outputs // LANES), -(-inputs // _WORD)
    whole = np.zeros((blocks * LANES, words * _WORD), np.int8)
    whole[:outputs, :inputs] = weight
    packed = whole.reshape(blocks, LANES, words, _WORD).transpose(0, 2, 1, 3)
    sums = whole.sum(axis=1, dtype=np.int32)
    more = np.zeros((2, blocks * LANES), np.float32)
    more[0, :outputs], more[1, :outputs] = bias, scale
    return as_floats(packed), more[0], more[1], as_floats(sums)


def _emit(layer: Layer, out: Writer) -> None:
    outputs, inputs = layer.constants[0].shape
    steps = layer.node.epilogue
    finish = epilogue_loop_name(steps) if steps else "NULL"
    # blocks of a map of one pixel lie one behind the other
    pixel = LANES if inputs > _WORD else 1
    sizes = f"{inputs}, {outputs}, {layer.number('zero_in')}"
    sums = "(const cf_word *)(const void *)w3"
    out.line(
        f"cf_linear_int8({sizes}, x0, w0, w1, w2, {sums}, {finish}, {pixel}, y, begin, end);"
    )


KERNEL = Kernel(
    "linear_int8",
    refuses=_refuses,
    cost=_cost,
    pack=_pack,
    emit=_emit,
    layouts=_layouts,
    units=lambda layer: -(-layer.output[1] // LANES),
    prelude=maps_int8.KERNEL.prelude,
)
