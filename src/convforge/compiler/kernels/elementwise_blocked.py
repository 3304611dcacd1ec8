"""What is done number by number, on blocks of 16 channels.

Activations alone, sums and the like of two maps, and of a map with one number a channel: a scale
and shift, or the gate of a squeeze-and-excitation, which comes planar. A unit is one block.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from convforge.compiler.kernels.epilogue import epilogue_expression
from convforge.compiler.kernels.family import LANES, Kernel, Layer, Layout

if TYPE_CHECKING:
    from convforge.compiler.c.writer import Writer
    from convforge.compiler.ir.graph import Array, Shape
    from convforge.compiler.kernels.family import Layouts

_SIGNS = {"add": "+", "sub": "-", "mul": "*", "div": "/"}


def _refuses(layer: Layer) -> str | None:
    if layer.node.op not in {"elementwise", "scale_shift", *_SIGNS}:
        return "not an elementwise layer"
    if len(layer.output) != 4 or layer.output not in layer.inputs:
        return "no map of the result's size"
    return None if layer.node.op == "scale_shift" else _refuses_operands(layer)


def _refuses_operands(layer: Layer) -> str | None:
    if layer.node.op in {"sub", "div"} and layer.constants:
        return "a constant whose side is not known"
    shapes = (*layer.inputs, *(constant.shape for constant in layer.constants))
    constants = shapes[len(layer.inputs) :]
    if layer.output in constants:
        return "a map among the constants"
    if all(shape == layer.output or _is_a_channel(shape, layer.output) for shape in shapes):
        return None
    return "broadcasts over more than the cells of a channel"


def _is_a_channel(shape: Shape, output: Shape) -> bool:
    return shape in {(1, output[1], 1, 1), (output[1], 1, 1)} and output[0] == 1


def _layouts(layer: Layer) -> tuple[Layouts, ...]:
    inputs = tuple(
        Layout.BLOCKED if shape == layer.output else Layout.PLANAR for shape in layer.inputs
    )
    return ((*inputs, Layout.BLOCKED),)


def _cost(layer: Layer) -> float:
    return 2 * Layout.BLOCKED.floats(layer.output) / LANES


def _pack(layer: Layer) -> tuple[Array, ...]:
    missing = -layer.output[1] % LANES
    return tuple(np.pad(constant.ravel(), (0, missing)) for constant in layer.constants)


def _blocks(layer: Layer) -> int:
    return -(-layer.output[1] // LANES)


def _emit(layer: Layer, out: Writer) -> None:
    channels, cells = layer.output[1], math.prod(layer.output[2:])
    operands = []
    with out.block("for (int unit = begin; unit < end; unit++)"):
        out.line(f"float *to = y + unit * {cells * LANES}L;")
        for i, shape in enumerate(layer.inputs):
            if shape == layer.output:
                out.line(f"const float *map{i} = x{i} + unit * {cells * LANES}L;")
                operands.append(f"map{i}[i * {LANES} + lane]")
            else:
                left = f"{channels} - unit * {LANES}"
                lanes = f"{left} < {LANES} ? {left} : {LANES}" if channels % LANES else str(LANES)
                out.line(f"float one{i}[{LANES}] = {{0}};")
                out.line(
                    f"memcpy(one{i}, x{i} + unit * {LANES}, sizeof(float) * (size_t)({lanes}));"
                )
                operands.append(f"one{i}[lane]")
        for i in range(len(layer.constants)):
            out.line(f"const float *const{i} = w{i} + unit % {_blocks(layer)} * {LANES};")
            operands.append(f"const{i}[lane]")
        with out.loop("i", cells), out.loop("lane", LANES):
            value = epilogue_expression(layer.node.epilogue, _value(layer, operands))
            out.line(f"to[i * {LANES} + lane] = {value};")


def _value(layer: Layer, operands: list[str]) -> str:
    if layer.node.op == "elementwise":
        return operands[0]
    if layer.node.op == "scale_shift":
        return "{} * {} + {}".format(*operands)
    left, right = operands
    return f"{left} {_SIGNS[layer.node.op]} {right}"


KERNEL = Kernel(
    "elementwise_blocked",
    refuses=_refuses,
    cost=_cost,
    pack=_pack,
    emit=_emit,
    layouts=_layouts,
    units=lambda layer: layer.output[0] * _blocks(layer),
)
