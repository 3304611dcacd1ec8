"""What lies between convolutions of bfloat16: to and from it, pooling, joining, gating."""

from __future__ import annotations

import math
from functools import partial
from importlib.resources import files
from typing import TYPE_CHECKING

from convforge.compiler.kernels import conv_bf16
from convforge.compiler.kernels.epilogue import epilogue_loop_name
from convforge.compiler.kernels.family import FEW, HALVES, LANES, Kernel, Layer, Layout
from convforge.compiler.kernels.pool_blocked import PRELUDE as POOL_PRELUDE
from convforge.compiler.kernels.pool_blocked import is_global, window_sizes
from convforge.compiler.kernels.words import emit_concat

if TYPE_CHECKING:
    from collections.abc import Callable

    from convforge.compiler.c.writer import Writer
    from convforge.compiler.ir.graph import Shape
    from convforge.compiler.kernels.family import Layouts

_PIECE = 1024  # pixels of a picture that are one unit, as in maps_bf16.c
_BF16 = Layout.BF16
_FLOATS = (Layout.PLANAR, Layout.BLOCKED)
_MEANS = frozenset({"mean", "avg_pool", "adaptive_avg_pool"})


def _refuses(layer: Layer) -> str | None:
    op = layer.node.op
    if op == "elementwise":
        return None if len(layer.output) in {2, 4} else "neither maps nor a vector"
    if op not in _EMIT:
        return "nothing that maps of bf16 know"
    if any(len(shape) != 4 or shape[1] <= FEW for shape in layer.inputs):
        return "no maps, or few of them"
    return None if _fits(layer) else "not whole maps, or steps behind them"


def _fits(layer: Layer) -> bool:
    match layer.node.op:
        case "max_pool":
            return not layer.node.epilogue
        case "mul":
            return _gates(layer)
        case "concat":
            joins = layer.node.attrs["axis"] == 1 and layer.output[0] == 1
            return joins and not layer.constants
        case _:
            return _means_maps(layer)


def _means_maps(layer: Layer) -> bool:
    if layer.node.op == "mean":
        return layer.node.attrs["axes"] == (2, 3)
    if layer.node.op == "adaptive_avg_pool":
        return layer.output[2:] == (1, 1)
    return is_global(layer)


def _gates(layer: Layer) -> bool:
    if layer.node.epilogue or layer.constants or layer.output[0] != 1:
        return False
    factor = (*layer.output[:2], 1, 1)
    return layer.output != factor and sorted(layer.inputs) == sorted((layer.output, factor))


def _layouts(layer: Layer) -> tuple[Layouts, ...]:
    op = layer.node.op
    if op == "elementwise":
        kinds = _FLOATS if len(layer.output) == 4 else _FLOATS[:1]
        moves = [pair for kind in kinds for pair in ((kind, _BF16), (_BF16, kind))]
        return tuple(moves) if layer.node.epilogue else (*moves, (_BF16, _BF16))
    if op in _MEANS:
        return ((_BF16, Layout.PLANAR),)
    if op == "mul":
        # One number a channel is the same in both layouts.
        maps_first = layer.inputs[0] == layer.output
        return tuple(
            (_BF16, kind, _BF16) if maps_first else (kind, _BF16, _BF16) for kind in _FLOATS
        )
    return ((_BF16,) * (len(layer.inputs) + 1),)


def _blocks(shape: Shape) -> int:
    return shape[0] * -(-shape[1] // HALVES)


def _cost(layer: Layer) -> float:
    shape = max(layer.inputs, key=math.prod)
    if layer.node.op == "elementwise":
        return 4 * Layout.BLOCKED.floats(shape) / LANES
    if layer.node.op == "max_pool":
        cells = _blocks(layer.output) * math.prod(layer.output[2:])
        return cells * (2 * math.prod(layer.numbers("kernel")) + 4)
    return 2.0 * _blocks(shape) * math.prod(shape[2:])


def _units(layer: Layer) -> int:
    match layer.node.op:
        case "elementwise":
            if layer.output[1] > FEW or layer.gives is not _BF16 or layer.takes[0] is _BF16:
                return _blocks(layer.output)
            return layer.output[0] * -(-math.prod(layer.output[2:]) // _PIECE)
        case "max_pool":
            return _blocks(layer.output) * layer.output[2]
        case "concat":
            return 1
        case _:
            return _blocks(max(layer.inputs, key=math.prod))


def _emit(layer: Layer, out: Writer) -> None:
    _EMIT[layer.node.op](layer, out)


def _finish(layer: Layer) -> str:
    return epilogue_loop_name(layer.node.epilogue) if layer.node.epilogue else "NULL"


def _emit_move(layer: Layer, out: Writer) -> None:
    images, channels, *places = layer.output
    to_bf16 = layer.gives is _BF16
    if layer.takes[0] is layer.gives:
        block = _BF16.floats(layer.output) // _units(layer)
        size = f"(size_t)(end - begin) * {4 * block}"
        out.line(f"memcpy(y + begin * {block}L, x0 + begin * {block}L, {size});")
        return
    floats = layer.takes[0] if to_bf16 else layer.gives
    sizes = f"{images}, {channels}, {math.prod(places)}, {int(floats is Layout.BLOCKED)}"
    out.line(f"static const cf_moved_bf16 moved = {{{sizes}, {_finish(layer)}}};")
    if to_bf16:
        name = "cf_to_bf16" if channels > FEW else "cf_picture_to_bf16"
        out.line(f"{name}(&moved, x0, y, begin, end);")
    else:
        pixel = _BF16.side_by_side(channels)
        out.line(f"cf_from_bf16(&moved, {pixel}, x0, y, begin, end);")


def _emit_pool(layer: Layer, out: Writer) -> None:
    out.line(f"static const cf_window window = {{{window_sizes(layer)}}};")
    out.line(f"cf_pool_bf16_units(&window, {layer.output[2]}, x0, y, begin, end);")


def _emit_gate(layer: Layer, out: Writer) -> None:
    channels, cells = layer.output[1], math.prod(layer.output[2:])
    maps, factor = ("x0", "x1") if layer.inputs[0] == layer.output else ("x1", "x0")
    out.line(f"cf_gate_bf16({channels}, {cells}, {maps}, {factor}, y, begin, end);")


def _emit_mean(layer: Layer, out: Writer) -> None:
    channels, cells = layer.output[1], math.prod(layer.inputs[0][2:])
    out.line(f"cf_mean_bf16({channels}, {cells}, {_finish(layer)}, x0, y, begin, end);")


_EMIT: dict[str, Callable[[Layer, Writer], None]] = {
    "elementwise": _emit_move,
    "max_pool": _emit_pool,
    "concat": partial(emit_concat, layout=_BF16),
    "mul": _emit_gate,
    **dict.fromkeys(_MEANS, _emit_mean),
}

KERNEL = Kernel(
    "maps_bf16",
    refuses=_refuses,
    cost=_cost,
    pack=lambda _layer: (),
    emit=_emit,
    layouts=_layouts,
    units=_units,
    prelude=conv_bf16.PRELUDE
    + POOL_PRELUDE
    + files(__package__).joinpath("maps_bf16.c").read_text(),
)
