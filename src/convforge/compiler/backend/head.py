"""Where a program's head begins, and the map that it reads: what Grad-CAM needs to know.

Networks of the catalogue are `features` and `head`, and their layers are named so.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from convforge.compiler.backend.receptive import sources
from convforge.compiler.kernels.family import Layout

if TYPE_CHECKING:
    from convforge.compiler.backend.places import Place
    from convforge.compiler.backend.program import Call, Program
    from convforge.compiler.ir.graph import Shape

_PREFIX = "head."
_FLOATS = frozenset({Layout.PLANAR, Layout.BLOCKED})


@dataclass(frozen=True)
class Head:
    """The calls from `first` on, which read nothing of those before but one map.

    The map, of `shape` (1, C, H, W), lies at `place`. Where the head is `linear` it is the mean of
    every channel and a weighted sum of those.
    """

    first: int
    place: Place
    shape: Shape
    layout: Layout
    linear: bool


def find_head(program: Program) -> Head | None:
    """The head of a program; None where it has none, takes several images or is too coarse.

    Numbers of two bytes do not show what a small change of a map makes of the answer, but what a
    place gives to a linear head; those of one byte neither.
    """
    names = [call.layer.node.name for call in program.calls]
    first = next((i for i, name in enumerate(names) if name.startswith(_PREFIX)), 0)
    calls = program.calls[first:]
    if not first or program.input_shape[0] != 1:
        return None
    reads = sources(program)
    found = _map(program, reads[first][0], first)
    if found is None:
        return None
    place, shape, layout = found
    linear = _is_linear(calls)
    places = shape[2] * shape[3]
    fine = _FLOATS | {Layout.BF16} if linear and places < shape[1] else _FLOATS
    if not all(fine.issuperset((*call.layer.takes, call.layer.gives)) for call in calls):
        return None
    own = set(reads[first][0])
    known = {*own, *range(first, len(names))}
    if not all(known.issuperset(writers) for read in reads[first:] for writers in read):
        return None
    return Head(first, place, shape, layout, linear=linear)


def _map(
    program: Program, writers: tuple[int, ...], first: int
) -> tuple[Place, Shape, Layout] | None:
    """What a head's first call reads as a map, though it be flat for that call."""
    call = program.calls[first]
    place, shape, layout = call.inputs[0], call.layer.inputs[0], call.layer.takes[0]
    if -1 in writers:
        return None
    if len(shape) == 4:
        return place, shape, layout
    parts = sorted((program.calls[i] for i in writers), key=lambda part: part.output.offset)
    sides = {part.layer.output[2:] for part in parts}
    if len(sides) > 1 or {part.layer.gives for part in parts} != {Layout.PLANAR}:
        return None
    end = place.offset
    for part in parts:
        if len(part.layer.output) != 4 or part.output.offset != end:
            return None
        end += math.prod(part.layer.output)
    channels = sum(part.layer.output[1] for part in parts)
    whole = (1, channels, *sides.pop())
    return (place, whole, Layout.PLANAR) if math.prod(whole) == math.prod(shape) else None


def _is_linear(calls: tuple[Call, ...]) -> bool:
    layers = [call.layer for call in calls]
    # Without steps it is a copy.
    work = [layer for layer in layers if layer.operation != "elementwise" or layer.node.epilogue]
    if [layer.operation for layer in work] != ["avg_pool", "linear"]:
        return False
    mean = work[0]
    whole = mean.numbers("kernel") == mean.inputs[0][2:] and not any(mean.numbers("padding"))
    return whole and not any(layer.node.epilogue for layer in work)
