"""A fully connected layer of maps of bytes, whose results are numbers of the usual kind.

    y = scale · Σ W · (x - zero) + bias

Weights are packed as [16 outputs][four inputs][16][4]; what x's zero adds to a sum is taken off
afterwards, from the sums of the weights.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from convforge.compiler.kernels import maps_int8
from convforge.compiler.kernels.epilogue import epilogue_loop_name
from convforge.compiler.kernels.family import BYTES, LANES, Kernel, Layer, Layout
from convforge.compiler.kernels.words import as_floats

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


def _words(layer: Layer) -> tuple[int, int, int]:
    """Of a map: blocks, words of a pixel, and how many of the last block's have a channel."""
    channels = layer.inputs[0][1]
    if channels <= _WORD:
        return 1, 1, 1
    blocks = -(-channels // BYTES)
    return blocks, LANES, -(-(channels - (blocks - 1) * BYTES) // _WORD)


def _pack(layer: Layer) -> tuple[Array, ...]:
    weight, bias, scale = layer.constants
    outputs, channels = weight.shape[:2]
    (blocks, words, last), rows = _words(layer), -(-outputs // LANES) * LANES
    # As the map lies: [block][pixel][channels of the block].
    whole = np.zeros((rows, blocks * words * _WORD, *weight.shape[2:]), np.int8)
    whole[:outputs, :channels] = weight
    parts = [
        whole[:, block * words * _WORD :][:, : (last if block == blocks - 1 else words) * _WORD]
        .transpose(0, 2, 3, 1)
        .reshape(rows, -1)
        for block in range(blocks)
    ]
    flat = np.concatenate(parts, axis=1)
    packed = flat.reshape(-1, LANES, flat.shape[1] // _WORD, _WORD).transpose(0, 2, 1, 3)
    more = np.zeros((2, rows), np.float32)
    more[0, :outputs], more[1, :outputs] = bias, scale
    return as_floats(packed), more[0], more[1], as_floats(flat.sum(axis=1, dtype=np.int32))


def _emit(layer: Layer, out: Writer) -> None:
    outputs, steps = len(layer.constants[0]), layer.node.epilogue
    finish = epilogue_loop_name(steps) if steps else "NULL"
    blocks, words, last = _words(layer)
    sizes = f"{blocks}, {math.prod(layer.inputs[0][2:])}, {words}, {last}"
    numbers = f"{outputs}, {layer.number('zero_in')}"
    out.line(f"static const cf_linear_int8_sizes sizes = {{{sizes}, {numbers}}};")
    out.line(f"cf_linear_int8(&sizes, x0, w0, w1, w2, w3, {finish}, y, begin, end);")


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
