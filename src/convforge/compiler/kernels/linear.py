"""Fully connected layers, and convolutions whose kernel covers the whole map: y = W x + b.

All leading axes of a fully connected layer are rows, each with a product of its own. Weights are
packed as [group of 64 outputs][inputs][64], the last group as narrow as whole blocks of 16 make it,
so that one input is multiplied with weights that lie side by side and no sum has to be taken across
a vector. Every 256 inputs have a sum of their own, for in one of VGG's 25,088 the roundings would
add up (linear.c).
"""

from __future__ import annotations

import math
from importlib.resources import files
from typing import TYPE_CHECKING

import numpy as np

from convforge.compiler.kernels.epilogue import epilogue_loop_name
from convforge.compiler.kernels.family import Kernel, Layer

if TYPE_CHECKING:
    from convforge.compiler.c.writer import Writer
    from convforge.compiler.ir.graph import Array

_LANES = 16
_GROUP = 64  # outputs whose weights lie side by side


def _refuses(layer: Layer) -> str | None:
    if layer.node.op == "linear":
        return None
    if layer.node.op != "conv2d":
        return "not a linear layer"
    covers = layer.constants[0].shape[1:] == layer.inputs[0][1:] and not any(
        layer.numbers("padding")
    )
    return None if covers and layer.numbers("dilation") == (1, 1) else "more than one position"


def _rows(layer: Layer) -> int:
    outputs = len(layer.constants[0])
    return math.prod(layer.output) // outputs


def _cost(layer: Layer) -> float:
    # vector operations of 16 outputs, no tile's way out
    return _rows(layer) * layer.constants[0].size / _LANES


def _pack(layer: Layer) -> tuple[Array, ...]:
    weight, *bias = layer.constants
    rows = weight.reshape(weight.shape[0], -1)
    if len(rows) % _LANES:
        rows = np.pad(rows, ((0, -len(rows) % _LANES), (0, 0)))
    whole = len(rows) // _GROUP * _GROUP
    parts = [rows[:whole].reshape(-1, _GROUP, rows.shape[1]).transpose(0, 2, 1), rows[whole:].T]
    start = np.zeros(len(rows), np.float32)
    if bias:
        start[: len(bias[0])] = bias[0]
    # A view where it can be one: it may be large.
    packed = parts[0] if whole == len(rows) else np.concatenate([part.ravel() for part in parts])
    return packed, start


def _emit(layer: Layer, out: Writer) -> None:
    outputs, rows = len(layer.constants[0]), _rows(layer)
    inputs = layer.constants[0].size // outputs
    steps = layer.node.epilogue
    finish = epilogue_loop_name(steps) if steps else "NULL"
    with out.loop("r", rows):
        row = f"x0 + r * {inputs}L, w0, w1, {finish}, y + r * {outputs}L"
        out.line(f"cf_linear_row({inputs}, {outputs}, {row}, begin, end);")


KERNEL = Kernel(
    "linear",
    refuses=_refuses,
    cost=_cost,
    pack=_pack,
    emit=_emit,
    units=lambda layer: math.ceil(layer.constants[0].shape[0] / _GROUP),
    prelude=files("convforge.compiler.c").joinpath("vector.c").read_text()
    + files(__package__).joinpath("linear.c").read_text(),
)
