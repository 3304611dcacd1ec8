"""Activations alone; sums, differences, products, quotients of two values, with broadcasting.

Axes along which both values go on, or the same one stays, are one loop; most layers are one or two.
A constant is the second of the two (passes/order_operands.py).
"""

from __future__ import annotations

import math
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from convforge.compiler.kernels.epilogue import epilogue_expression
from convforge.compiler.kernels.family import Kernel, Layer

if TYPE_CHECKING:
    from convforge.compiler.c.writer import Writer
    from convforge.compiler.ir.graph import Shape

_SIGNS = {"add": "+", "sub": "-", "mul": "*", "div": "/"}
_CHUNK = 4096  # elements of a unit where there is one loop


@dataclass(frozen=True)
class _Loop:
    """One loop over `size` elements of the result; `moves` tells which of the two values go on."""

    size: int
    moves: tuple[bool, ...]


def _refuses(layer: Layer) -> str | None:
    return None if layer.node.op in {"elementwise", *_SIGNS} else "not an elementwise layer"


def _operands(layer: Layer) -> tuple[Shape, ...]:
    return (*layer.inputs, *(constant.shape for constant in layer.constants))


def _loops(layer: Layer) -> list[_Loop]:
    rank = len(layer.output)
    shapes = [(1,) * (rank - len(shape)) + shape for shape in _operands(layer)]
    loops: list[_Loop] = []
    for axis, size in enumerate(layer.output):
        moves = tuple(shape[axis] > 1 for shape in shapes)
        if size == 1:
            continue
        if loops and loops[-1].moves == moves:
            loops[-1] = _Loop(loops[-1].size * size, moves)
        else:
            loops.append(_Loop(size, moves))
    return loops or [_Loop(1, (True,) * len(shapes))]


def _units(layer: Layer) -> int:
    loops = _loops(layer)
    return loops[0].size if len(loops) > 1 else math.ceil(loops[0].size / _CHUNK)


def _emit(layer: Layer, out: Writer) -> None:
    loops = _loops(layer)
    names = [f"x{i}" for i in range(len(layer.inputs))]
    names += [f"w{i}" for i in range(len(layer.constants))]
    values = [
        f"{name}[{_index(loops, [loop.moves[i] for loop in loops])}]"
        for i, name in enumerate(names)
    ]
    value = f" {_SIGNS.get(layer.node.op)} ".join(values)
    with ExitStack() as nest:
        if len(loops) == 1:
            size = loops[0].size
            out.line(f"const int last = end * {_CHUNK} < {size} ? end * {_CHUNK} : {size};")
            nest.enter_context(out.block(f"for (int i0 = begin * {_CHUNK}; i0 < last; i0++)"))
        else:
            nest.enter_context(out.block("for (int i0 = begin; i0 < end; i0++)"))
            for number, loop in enumerate(loops[1:], 1):
                nest.enter_context(out.loop(f"i{number}", loop.size))
        result = epilogue_expression(layer.node.epilogue, value)
        out.line(f"y[{_index(loops, [True] * len(loops))}] = {result};")


def _index(loops: list[_Loop], moves: list[bool]) -> str:
    terms, stride = [], 1
    for number in reversed(range(len(loops))):
        if moves[number]:
            terms.append(f"i{number} * {stride}" if stride > 1 else f"i{number}")
            stride *= loops[number].size
    return " + ".join(reversed(terms)) or "0"


KERNEL = Kernel(
    "elementwise",
    refuses=_refuses,
    cost=lambda layer: float(math.prod(layer.output)),
    pack=lambda layer: layer.constants,
    emit=_emit,
    units=_units,
)
