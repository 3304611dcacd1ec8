"""What lies between convolutions of bytes: to and from bytes, pooling, joining, gating.

Loops that compilers turn into vectors, over the 64 bytes of a block's pixel; a unit is a block of
maps, or a row of one.
"""

from __future__ import annotations

import math
from functools import partial
from importlib.resources import files
from typing import TYPE_CHECKING

from convforge.compiler.c.writer import c_float
from convforge.compiler.kernels import conv_int8
from convforge.compiler.kernels.family import BYTES, FEW, Kernel, Layer, Layout
from convforge.compiler.kernels.words import emit_concat

if TYPE_CHECKING:
    from collections.abc import Callable

    from convforge.compiler.c.writer import Writer
    from convforge.compiler.kernels.family import Layouts

_OPS = frozenset(
    {"quantize", "dequantize", "max_pool_int8", "concat_int8", "mul_int8", "mean_int8"}
)
_OF_BLOCKS = frozenset({"max_pool_int8", "mul_int8", "mean_int8"})
_FLOATS = (Layout.PLANAR, Layout.BLOCKED)
_PIECE = 1024  # pixels of such a map that are quantized as one unit, as in maps_int8.c


def _refuses(layer: Layer) -> str | None:
    if layer.node.op not in _OPS:
        return "nothing that maps of bytes know"
    few = layer.node.op in _OF_BLOCKS and layer.inputs[0][1] <= FEW
    return "a map of a word a pixel" if few else None


def _layouts(layer: Layer) -> tuple[Layouts, ...]:
    match layer.node.op:
        case "quantize":
            return tuple((kind, Layout.BYTES) for kind in _FLOATS)
        case "dequantize":
            return tuple((Layout.BYTES, kind) for kind in _FLOATS)
        case "mean_int8":
            return ((Layout.BYTES, Layout.PLANAR),)
        case "mul_int8":
            # one number a channel is the same in both layouts
            return tuple((Layout.BYTES, kind, Layout.BYTES) for kind in _FLOATS)
        case _:
            return ((Layout.BYTES,) * (len(layer.inputs) + 1),)


def _blocks(channels: int) -> int:
    return -(-channels // BYTES)


def _cost(layer: Layer) -> float:
    taps = math.prod(layer.numbers("kernel")) if layer.node.op == "max_pool_int8" else 4
    return _blocks(layer.output[1]) * math.prod(layer.inputs[0][2:]) * taps


def _units(layer: Layer) -> int:
    match layer.node.op:
        case "quantize" | "dequantize":
            if layer.output[1] > FEW:
                return _blocks(layer.output[1])
            cells = math.prod(layer.output[2:])
            return -(-cells // _PIECE) if layer.node.op == "quantize" else 1
        case "max_pool_int8":
            return _blocks(layer.output[1]) * layer.output[2]
        case "concat_int8":
            return 1
        case _:
            return _blocks(layer.inputs[0][1])


def _emit(layer: Layer, out: Writer) -> None:
    _EMIT[layer.node.op](layer, out)


def _emit_quantize(layer: Layer, out: Writer) -> None:
    channels, cells = layer.output[1], math.prod(layer.output[2:])
    blocked = int(layer.takes[0] is Layout.BLOCKED)
    scale = c_float(1 / layer.real("scale"))
    bytes_ = f"{layer.number('zero')}, {layer.number('top')}"
    name = "cf_quantize_words" if channels <= FEW else "cf_quantize"
    out.line(f"{name}({channels}, {cells}, {blocked}, {scale}, {bytes_}, x0, y, begin, end);")


def _emit_dequantize(layer: Layer, out: Writer) -> None:
    channels, cells = layer.output[1], math.prod(layer.output[2:])
    blocked = int(layer.gives is Layout.BLOCKED)
    pixel = BYTES if channels > FEW else FEW
    scale, zero = c_float(layer.real("scale")), layer.number("zero")
    sizes = f"{channels}, {cells}, {pixel}, {blocked}"
    out.line(f"cf_dequantize({sizes}, {scale}, {zero}, x0, y, begin, end);")


def _emit_pool(layer: Layer, out: Writer) -> None:
    (_, _, height, width), (_, _, rows, columns) = layer.inputs[0], layer.output
    keys = ("kernel", "stride", "dilation", "padding")
    window = ", ".join(
        f"{{{down}, {right}}}" for down, right in (layer.numbers(key)[:2] for key in keys)
    )
    out.line(
        f"static const cf_pool_int8 pool = {{{height}, {width}, {rows}, {columns}, {window}}};"
    )
    out.line("cf_pool_int8_units(&pool, x0, y, begin, end);")


def _emit_gate(layer: Layer, out: Writer) -> None:
    channels, cells = layer.output[1], math.prod(layer.output[2:])
    ratio = c_float(layer.real("ratio") * 4096)
    bytes_ = ", ".join(str(layer.number(key)) for key in ("zero_in", "zero", "top"))
    out.line(f"cf_gate_int8({channels}, {cells}, {bytes_}, {ratio}, x0, x1, y, begin, end);")


def _emit_mean(layer: Layer, out: Writer) -> None:
    channels, cells = layer.output[1], math.prod(layer.inputs[0][2:])
    scale, zero = c_float(layer.real("scale") / cells), layer.number("zero")
    out.line(f"cf_mean_int8({channels}, {cells}, {scale}, {zero}, x0, y, begin, end);")


_EMIT: dict[str, Callable[[Layer, Writer], None]] = {
    "quantize": _emit_quantize,
    "dequantize": _emit_dequantize,
    "max_pool_int8": _emit_pool,
    "concat_int8": partial(emit_concat, layout=Layout.BYTES),
    "mul_int8": _emit_gate,
    "mean_int8": _emit_mean,
}

KERNEL = Kernel(
    "maps_int8",
    refuses=_refuses,
    cost=_cost,
    pack=lambda _layer: (),
    emit=_emit,
    layouts=_layouts,
    units=_units,
    prelude=conv_int8.PRELUDE + files(__package__).joinpath("maps_int8.c").read_text(),
)
