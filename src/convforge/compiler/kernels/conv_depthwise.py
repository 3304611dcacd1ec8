"""Depthwise convolution on blocks of 16 channels: one filter a channel.

    y[c, h, w] = b[c] + Σ_{r, q} W[c, r, q] · x[c, h·SH + r·DH - top, w·SW + q·DW - left]

A unit is a chunk of rows of one block; its input is copied with a border (conv_plan.py), and tiles
of neighbouring pixels stay in registers. Weights are packed as [block][KH · KW][16].
"""

from __future__ import annotations

import math
from importlib.resources import files
from typing import TYPE_CHECKING

import numpy as np

from convforge.compiler.kernels import conv_blocked
from convforge.compiler.kernels.conv_plan import ConvPlan, tile_cost
from convforge.compiler.kernels.family import LANES, Kernel, Layer, Layout

if TYPE_CHECKING:
    from convforge.compiler.c.writer import Writer
    from convforge.compiler.ir.graph import Array
    from convforge.compiler.kernels.family import Layouts

_CHUNK_FLOATS = 48 * 1024  # of a block that a chunk reads: it stays in a second-level cache


def _refuses(layer: Layer) -> str | None:
    if layer.node.op != "conv2d":
        return "not a convolution"
    depthwise = layer.number("groups") == layer.inputs[0][1] == layer.output[1]
    return None if depthwise else "not one filter a channel"


def _layouts(_layer: Layer) -> tuple[Layouts, ...]:
    return ((Layout.BLOCKED, Layout.BLOCKED),)


def _plan(layer: Layer) -> ConvPlan:
    return ConvPlan(layer, LANES, 1, _CHUNK_FLOATS)


def _blocks(layer: Layer) -> int:
    return -(-layer.output[1] // LANES)


def _cost(layer: Layer) -> float:
    plan = _plan(layer)
    rows, columns = plan.size
    tiles = rows * tile_cost(columns) * (math.prod(plan.kernel) + 4)
    return _blocks(layer) * (tiles + math.prod(layer.inputs[0][2:]))


def _pack(layer: Layer) -> tuple[Array, ...]:
    weight, *bias = layer.constants
    channels, taps = weight.shape[0], math.prod(weight.shape[2:])
    packed = np.zeros((_blocks(layer) * LANES, taps), np.float32)
    packed[:channels] = weight.reshape(channels, taps)
    start = np.zeros(_blocks(layer) * LANES, np.float32)
    if bias:
        start[:channels] = bias[0]
    return packed.reshape(-1, LANES, taps).transpose(0, 2, 1), start


def _emit(layer: Layer, out: Writer) -> None:
    plan = _plan(layer)
    rows, columns = plan.kernel
    taps = [(plan.offset(r, q), LANES) for r in range(rows) for q in range(columns)]
    fields = {
        ".sums.weights": str(len(taps) * LANES),
        ".tiles": f"{{CF_CUT(depthwise, {plan.cut})}}",
        ".panels": str(_blocks(layer)),
    }
    plan.emit(out, taps=taps, fields=fields)
    work = "workspace" if plan.workspace else "NULL"
    out.line(f"cf_depthwise_units(&conv, x0, w0, w1, {work}, y, begin, end);")


KERNEL = Kernel(
    "conv_depthwise",
    refuses=_refuses,
    cost=_cost,
    pack=_pack,
    emit=_emit,
    layouts=_layouts,
    workspace=lambda layer: _plan(layer).workspace,
    units=lambda layer: _plan(layer).chunks * _blocks(layer),
    prelude=conv_blocked.PRELUDE + files(__package__).joinpath("conv_depthwise.c").read_text(),
)
