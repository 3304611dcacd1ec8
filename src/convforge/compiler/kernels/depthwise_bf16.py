"""Depthwise convolution of bfloat16: one filter a channel.

A word is two rows of one channel, so that a step of a sum is two cells of a column of the filter;
two output rows share what they read. Weights are packed as [block of 32][half][column][pair of
rows][output row][16][2], zeros where a row of the pair is none of the filter's; half is which
fours of a block's channels, as pairing the rows of two vectors leaves them side by side.
"""

from __future__ import annotations

import math
from importlib.resources import files
from typing import TYPE_CHECKING

import numpy as np

from convforge.compiler.ir.reference_bf16 import bits
from convforge.compiler.kernels import conv_bf16
from convforge.compiler.kernels.conv_bf16 import clip_fields
from convforge.compiler.kernels.family import FEW, HALVES, LANES, Kernel, Layer, Layout
from convforge.compiler.kernels.words import as_floats, emit_filter

if TYPE_CHECKING:
    from convforge.compiler.c.writer import Writer
    from convforge.compiler.ir.graph import Array
    from convforge.compiler.kernels.family import Layouts

_LONGEST = 7  # rows and columns of a filter, all of which are in the code
_TOGETHER = 2  # output rows of a unit


def _refuses(layer: Layer) -> str | None:
    if layer.node.op != "conv2d":
        return "not a convolution"
    if not layer.number("groups") == layer.inputs[0][1] == layer.output[1]:
        return "not one filter a channel"
    if layer.numbers("dilation") != (1, 1):
        return "cells between the filter's"
    if max(layer.constants[0].shape[2:]) > _LONGEST or max(layer.numbers("stride")) > 2:
        return "a large filter or stride"
    return "few channels" if layer.output[1] <= FEW else None


def _layouts(_layer: Layer) -> tuple[Layouts, ...]:
    return ((Layout.BF16, Layout.BF16),)


def _blocks(layer: Layer) -> int:
    return -(-layer.output[1] // HALVES)


def _pairs(layer: Layer) -> int:
    rows: int = layer.constants[0].shape[2] + (_TOGETHER - 1) * layer.numbers("stride")[0]
    return -(-rows // 2)


def _cost(layer: Layer) -> float:
    kh, kw = map(int, layer.constants[0].shape[2:])
    # two vectors of sums, a pair of rows at a time
    return _blocks(layer) * math.prod(layer.output[2:]) * (2 * kw * (-(-kh // 2)) + 8)


def _pack(layer: Layer) -> tuple[Array, ...]:
    weight, *bias = layer.constants
    channels, _, kh, kw = weight.shape
    blocks, stride = _blocks(layer), layer.numbers("stride")[0]
    # [channel][column][row of a pair, from the unit's first on][output row]
    rows = np.zeros((blocks * HALVES, kw, _pairs(layer) * 2, _TOGETHER), np.uint16)
    for g in range(_TOGETHER):
        rows[:channels, :, g * stride : g * stride + kh, g] = bits(weight[:, 0]).transpose(0, 2, 1)
    # Channels are (eight, half, one of four).
    pairs = rows.reshape(blocks, 4, 2, 4, kw, _pairs(layer), 2, _TOGETHER)
    packed = as_floats(pairs.transpose(0, 2, 4, 5, 7, 1, 3, 6))
    start = np.zeros(blocks * HALVES, np.float32)
    if bias:
        start[:channels] = bias[0]
    return packed, start.reshape(blocks, 4, 2, 4).transpose(0, 2, 1, 3).reshape(-1)


def _emit(layer: Layer, out: Writer) -> None:
    columns = layer.constants[0].shape[3]
    clips = {f".{name}": value for name, value in clip_fields(layer).items()}
    emit_filter(
        layer,
        out,
        kind="bf16",
        units="cf_bf16_filter_units",
        together=_TOGETHER,
        more={".weights": 2 * columns * _pairs(layer) * _TOGETHER * LANES, **clips},
    )


KERNEL = Kernel(
    "depthwise_bf16",
    refuses=_refuses,
    cost=_cost,
    pack=_pack,
    emit=_emit,
    layouts=_layouts,
    units=lambda layer: _blocks(layer) * -(-layer.output[2] // _TOGETHER),
    prelude=conv_bf16.PRELUDE + files(__package__).joinpath("depthwise_bf16.c").read_text(),
)
