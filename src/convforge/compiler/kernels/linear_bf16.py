"""A fully connected layer of bfloat16: half of the weights' bytes are read from memory.

y = f(W x + b) as float32, for x and W of bfloat16
"""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

import numpy as np

from convforge.compiler.ir.reference_bf16 import bits
from convforge.compiler.kernels import conv_bf16
from convforge.compiler.kernels.epilogue import epilogue_loop_name
from convforge.compiler.kernels.family import HALVES, Kernel, Layer, Layout
from convforge.compiler.kernels.words import as_floats

if TYPE_CHECKING:
    from convforge.compiler.c.writer import Writer
    from convforge.compiler.ir.graph import Array
    from convforge.compiler.kernels.family import Layouts


def _refuses(layer: Layer) -> str | None:
    if layer.node.op != "linear" or len(layer.output) != 2 or layer.output[0] != 1:
        return "not a linear layer of one vector"
    return "an odd number of inputs" if layer.inputs[0][1] % 2 else None


def _layouts(_layer: Layer) -> tuple[Layouts, ...]:
    return ((Layout.BF16, Layout.PLANAR),)


def _groups(layer: Layer) -> int:
    return -(-layer.output[1] // HALVES)


def _pack(layer: Layer) -> tuple[Array, ...]:
    weight, *bias = layer.constants
    rows = np.zeros((_groups(layer) * HALVES, weight.shape[1]), np.uint16)
    rows[: len(weight)] = bits(weight)
    packed = rows.reshape(-1, HALVES, weight.shape[1] // 2, 2).transpose(0, 2, 1, 3)
    start = np.zeros(len(rows), np.float32)
    if bias:
        start[: len(bias[0])] = bias[0]
    return as_floats(packed), start


def _emit(layer: Layer, out: Writer) -> None:
    outputs, inputs = layer.constants[0].shape
    finish = epilogue_loop_name(layer.node.epilogue) if layer.node.epilogue else "NULL"
    sizes = f"{inputs // 2}, {outputs}"
    out.line(f"cf_linear_bf16({sizes}, x0, w0, w1, {finish}, y, begin, end);")


KERNEL = Kernel(
    "linear_bf16",
    refuses=_refuses,
    cost=lambda layer: layer.constants[0].size / 32,
    pack=_pack,
    emit=_emit,
    layouts=_layouts,
    units=_groups,
    prelude=conv_bf16.PRELUDE + files(__package__).joinpath("linear_bf16.c").read_text(),
)
