"""What only moves values: concatenation, slices, transposes, padding."""

from __future__ import annotations

import math
from contextlib import ExitStack
from typing import TYPE_CHECKING

from convforge.compiler.c.writer import c_float
from convforge.compiler.kernels.family import Kernel, Layer

if TYPE_CHECKING:
    from convforge.compiler.c.writer import Writer
    from convforge.compiler.ir.ops import Shape


def _refuses(layer: Layer) -> str | None:
    if layer.node.op not in _EMITTERS:
        return "computes something"
    return "a constant among what it joins" if layer.constants else None


def _emit(layer: Layer, out: Writer) -> None:
    _EMITTERS[layer.node.op](layer, out)


def _emit_concat(layer: Layer, out: Writer) -> None:
    axis = layer.number("axis")
    outer, whole = math.prod(layer.output[:axis]), math.prod(layer.output[axis:])
    start = 0
    for i, shape in enumerate(layer.inputs):
        count = math.prod(shape[axis:])
        with out.loop("o", outer):
            target, source = f"y + o * {whole} + {start}", f"x{i} + o * {count}"
            out.line(f"memcpy({target}, {source}, {count} * sizeof(float));")
        start += count


def _emit_slice(layer: Layer, out: Writer) -> None:
    axis, start, step = (layer.number(key) for key in ("axis", "start", "step"))
    shape = layer.inputs[0]
    outer, inner = math.prod(shape[:axis]), math.prod(shape[axis + 1 :])
    length, places = shape[axis], layer.output[axis]
    if step == 1:  # one run of memory
        step, places, inner = 1, 1, places * inner
    with out.loop("o", outer), out.loop("k", places):
        source = f"x0 + o * {length * math.prod(shape[axis + 1 :])}"
        source += f" + k * {step * inner} + {start * math.prod(shape[axis + 1 :])}"
        if inner == 1:
            out.line(f"y[o * {places} + k] = *({source});")
        else:
            target = f"y + (o * {places} + k) * {inner}"
            out.line(f"memcpy({target}, {source}, {inner} * sizeof(float));")


def _emit_transpose(layer: Layer, out: Writer) -> None:
    shape, perm = _merged(layer.inputs[0], layer.numbers("perm"))
    strides = [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
    run = shape[-1] if perm[-1] == len(shape) - 1 else 1
    axes = perm[:-1] if run > 1 else perm
    with ExitStack() as loops:
        for axis in axes:
            loops.enter_context(out.loop(f"i{axis}", shape[axis]))
        source = " + ".join(["x0", *(f"i{axis} * {strides[axis]}" for axis in axes)])
        place = "0"
        for axis in axes:
            place = f"i{axis}" if place == "0" else f"({place}) * {shape[axis]} + i{axis}"
        if run > 1:
            out.line(f"memcpy(y + ({place}) * {run}, {source}, {run} * sizeof(float));")
        else:
            out.line(f"y[{place}] = *({source});")


def _merged(shape: Shape, perm: tuple[int, ...]) -> tuple[Shape, tuple[int, ...]]:
    """The same transpose with fewer axes: axes of size 1 left out, neighbours that stay so one."""
    groups: list[list[int]] = []
    for axis in (axis for axis in perm if shape[axis] > 1):
        skipped = range(groups[-1][-1] + 1, axis) if groups and groups[-1][-1] < axis else None
        if skipped is not None and all(shape[between] == 1 for between in skipped):
            groups[-1].append(axis)
        else:
            groups.append([axis])
    order = sorted(groups) or [[0]]
    sizes = tuple(math.prod(shape[axis] for axis in group) for group in order)
    return sizes, tuple(order.index(group) for group in groups) or (0,)


def _emit_pad(layer: Layer, out: Writer) -> None:
    _, c, h, w = layer.inputs[0]
    _, _, oh, ow = layer.output
    (top, left, _, _), (before, _) = layer.numbers("padding"), layer.numbers("channels")
    with out.loop("i", math.prod(layer.output)):
        out.line(f"y[i] = {c_float(layer.real('fill'))};")
    with out.loop("c", c), out.loop("h", h):
        target = f"y + ((c + {before}) * {oh} + h + {top}) * {ow} + {left}"
        out.line(f"memcpy({target}, x0 + (c * {h} + h) * {w}, {w} * sizeof(float));")


_EMITTERS = {
    "concat": _emit_concat,
    "slice": _emit_slice,
    "transpose": _emit_transpose,
    "pad": _emit_pad,
}

KERNEL = Kernel(
    "reorder",
    refuses=_refuses,
    cost=lambda layer: float(math.prod(layer.output)),
    pack=lambda _layer: (),
    emit=_emit,
)
