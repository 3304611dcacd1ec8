"""Convolution of bfloat16: any kernel, stride, padding and dilation, of one group.

    y = rounded(f(Σ W · x + b)), the sum in float32 (ir/reference_bf16.py)

Its loops are in words.py: two channels are one step of a sum, which starts with the bias.
"""

from __future__ import annotations

import math
from importlib.resources import files
from typing import TYPE_CHECKING

import numpy as np

from convforge.compiler.c.writer import c_float
from convforge.compiler.ir.reference_bf16 import bits
from convforge.compiler.kernels import words
from convforge.compiler.kernels.conv_blocked import MEMORY
from convforge.compiler.kernels.conv_plan import clipped
from convforge.compiler.kernels.epilogue import epilogue_loop_name
from convforge.compiler.kernels.family import (
    CONVOLUTIONS,
    FEW,
    HALVES,
    LANES,
    Kernel,
    Layer,
    Layout,
)
from convforge.compiler.kernels.words import UNIT, WordConv, as_floats

if TYPE_CHECKING:
    from convforge.compiler.c.writer import Writer
    from convforge.compiler.ir.graph import Array
    from convforge.compiler.kernels.family import Layouts

PRELUDE = words.PRELUDE + files(__package__).joinpath("bf16.c").read_text()


def _conv(layer: Layer) -> WordConv:
    return WordConv(layer, Layout.BF16)


def _refuses(layer: Layer) -> str | None:
    if layer.node.op not in CONVOLUTIONS:
        return "not a convolution"
    if layer.number("groups") > 1:
        return "more than one group"
    if layer.output[1] <= FEW:
        return "a result of few channels"
    # What the idle half of a word holds may be no number.
    odd = layer.inputs[0][1] > FEW and layer.inputs[0][1] % 2
    return "an odd number of channels" if odd else None


def _layouts(layer: Layer) -> tuple[Layouts, ...]:
    return ((Layout.BF16,) * (len(layer.inputs) + 1),)


def _cost(layer: Layer) -> float:
    conv = _conv(layer)
    copied = 0 if conv.plan.direct else math.prod(layer.inputs[0]) / HALVES
    return conv.cost + copied + MEMORY * conv.vectors * conv.words * conv.plan.chunks


def _pack(layer: Layer) -> tuple[Array, ...]:
    conv = _conv(layer)
    weight, *bias = layer.constants
    pairs = conv.weights(bits(weight), np.uint16)
    parts = [
        pairs[first : first + UNIT]
        .reshape(-1, LANES, conv.words, conv.word)
        .transpose(2, 0, 1, 3)
        .reshape(-1)
        for first in range(0, len(pairs), UNIT)
    ]
    start = np.zeros(-(-len(pairs) // UNIT) * UNIT, np.float32)
    if bias:
        start[: len(bias[0])] = bias[0]
    return as_floats(np.concatenate(parts)), start


def clip_fields(layer: Layer) -> dict[str, str]:
    """What a record says of an epilogue: its clip, and a function for all else."""
    low, high, rest = clipped(layer.node.epilogue)
    finish = epilogue_loop_name(rest) if rest else "NULL"
    return {"low": c_float(low), "high": c_float(high), "finish": finish}


def _emit(layer: Layer, out: Writer) -> None:
    steps = clip_fields(layer)
    _conv(layer).emit(
        out,
        kind="bf16",
        more=UNIT,
        tile={
            ".sums.low": steps["low"],
            ".sums.high": steps["high"],
            ".finish": steps["finish"],
        },
        addend="x1" if layer.node.op == "conv2d_add" else "NULL",
    )


KERNEL = Kernel(
    "conv_bf16",
    refuses=_refuses,
    cost=_cost,
    pack=_pack,
    emit=_emit,
    layouts=_layouts,
    workspace=lambda layer: _conv(layer).plan.workspace,
    units=lambda layer: _conv(layer).units,
    prelude=PRELUDE + files(__package__).joinpath("conv_bf16.c").read_text(),
)
