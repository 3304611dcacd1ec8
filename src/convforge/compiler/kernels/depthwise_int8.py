"""Depthwise convolution of bytes: one filter a channel.

A word is four rows of one channel, so that a step of a sum is a column of the filter; where the
stride is 1, two output rows share what they read. Weights are packed as [block of 64][16 channels]
[column][quad of rows][output row][16][4], zeros where a row of the quad is none of the filter's.
"""

from __future__ import annotations

import math
from importlib.resources import files
from typing import TYPE_CHECKING

import numpy as np

from convforge.compiler.kernels import conv_int8
from convforge.compiler.kernels.conv_int8 import largest, looked_up
from convforge.compiler.kernels.family import BYTES, LANES, Kernel, Layer, Layout
from convforge.compiler.kernels.words import as_floats, emit_filter

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from convforge.compiler.c.writer import Writer
    from convforge.compiler.ir.graph import Array
    from convforge.compiler.kernels.family import Layouts

_LONGEST = 7  # columns of a filter, all of which are in the code


def _refuses(layer: Layer) -> str | None:
    if layer.node.op != "conv2d_int8":
        return "not a convolution of bytes"
    if not layer.number("groups") == layer.inputs[0][1] == layer.output[1]:
        return "not one filter a channel"
    if layer.numbers("dilation") != (1, 1):
        return "cells between the filter's"
    return None if max(layer.constants[0].shape[2:]) <= _LONGEST else "a large filter"


def _layouts(_layer: Layer) -> tuple[Layouts, ...]:
    return ((Layout.BYTES, Layout.BYTES),)


def _blocks(layer: Layer) -> int:
    return -(-layer.output[1] // BYTES)


def _together(layer: Layer) -> int:
    """Output rows of a unit."""
    return 2 if layer.numbers("stride")[0] == 1 and layer.output[2] > 1 else 1


def _quads(layer: Layer) -> int:
    rows: int = layer.constants[0].shape[2] + (_together(layer) - 1) * layer.numbers("stride")[0]
    return -(-rows // 4)


def _cost(layer: Layer) -> float:
    return _blocks(layer) * math.prod(layer.output[2:]) * math.prod(layer.constants[0].shape[2:])


def _pack(layer: Layer) -> tuple[Array, ...]:
    weight, bias, multiplier, shift, *table = layer.constants
    channels, _, kh, kw = weight.shape
    blocks, together, stride = _blocks(layer), _together(layer), layer.numbers("stride")[0]
    # [channel][column][row of a quad, from the unit's first on][output row]
    rows = np.zeros((blocks * BYTES, kw, _quads(layer) * 4, together), np.int8)
    for g in range(together):
        rows[:channels, :, g * stride : g * stride + kh, g] = weight[:, 0].transpose(0, 2, 1)
    quads = rows.reshape(blocks, 4, LANES, kw, _quads(layer), 4, together)
    packed = as_floats(quads.transpose(0, 1, 3, 4, 6, 2, 5))
    more = [
        np.concatenate(
            [
                as_floats(_block(bias, block).astype(np.int32)),
                as_floats(_block(shift, block).astype(np.int32)),
                as_floats(_twice(_block(multiplier, block)).astype(np.int16)),
                *(as_floats(array.astype(np.uint8)) for array in table),
            ]
        )
        for block in range(blocks)
    ]
    return packed, np.concatenate(more)


def _block(parameter: Array, block: int) -> NDArray[np.float32]:
    whole = np.zeros(BYTES, np.float32)
    part = parameter[block * BYTES : (block + 1) * BYTES]
    whole[: len(part)] = part
    return whole


def _twice(multiplier: NDArray[np.float32]) -> NDArray[np.float32]:
    """As two vectors of sums of the same 16 channels are packed: each four of them twice."""
    return np.repeat(multiplier.reshape(-1, 1, 4), 2, axis=1)


def _emit(layer: Layer, out: Writer) -> None:
    columns, together = layer.constants[0].shape[3], _together(layer)
    emit_filter(
        layer,
        out,
        kind="int8",
        units="cf_filter_units",
        together=together,
        more={
            ".zero_in": layer.number("zero_in"),
            ".channels": layer.output[1],
            ".found": int(looked_up(layer)),
            ".largest": largest(layer),
            ".weights": 4 * columns * _quads(layer) * together * LANES,
            ".more": 3 * BYTES + BYTES * looked_up(layer),
        },
    )


KERNEL = Kernel(
    "depthwise_int8",
    refuses=_refuses,
    cost=_cost,
    pack=_pack,
    emit=_emit,
    layouts=_layouts,
    units=lambda layer: _blocks(layer) * -(-layer.output[2] // _together(layer)),
    prelude=conv_int8.PRELUDE + files(__package__).joinpath("depthwise_int8.c").read_text(),
)
