"""Max and average pooling on blocks of 16 channels; the window is clipped to the map.

A unit is one row of one block. What pools a whole map gives its result planar, as those read it
that follow: one number a channel is the same in both layouts.
"""

from __future__ import annotations

import math
from importlib.resources import files
from typing import TYPE_CHECKING

from convforge.compiler.kernels.epilogue import epilogue_loop_name
from convforge.compiler.kernels.family import LANES, Kernel, Layer, Layout
from convforge.compiler.kernels.pooling import counted_taps

if TYPE_CHECKING:
    from convforge.compiler.c.writer import Writer
    from convforge.compiler.kernels.family import Layouts


PRELUDE = (
    files("convforge.compiler.c").joinpath("vector.c").read_text()
    + files(__package__).joinpath("pool_blocked.c").read_text()
)
_LARGEST = {"max_pool", "adaptive_max_pool"}


def _refuses(layer: Layer) -> str | None:
    op = layer.node.op
    if op in {"max_pool", "avg_pool"} or (op == "mean" and layer.node.attrs["axes"] == (2, 3)):
        return None
    if op not in {"adaptive_avg_pool", "adaptive_max_pool"}:
        return "not a pooling layer"
    return None if layer.output[2:] == (1, 1) else "more than one adaptive window"


def is_global(layer: Layer) -> bool:
    """Whether a pooling layer takes each map whole."""
    if layer.node.op not in {"max_pool", "avg_pool"}:
        return True
    return layer.numbers("kernel") == layer.inputs[0][2:] and not any(layer.numbers("padding"))


def _layouts(layer: Layer) -> tuple[Layouts, ...]:
    return ((Layout.BLOCKED, Layout.PLANAR if is_global(layer) else Layout.BLOCKED),)


def _cost(layer: Layer) -> float:
    if is_global(layer):
        return Layout.BLOCKED.floats(layer.inputs[0]) / LANES
    blocks = Layout.BLOCKED.floats(layer.output) / LANES
    return blocks * (math.prod(layer.numbers("kernel")) + 4)


def _units(layer: Layer) -> int:
    blocks = layer.output[0] * -(-layer.output[1] // LANES)
    return blocks if is_global(layer) else blocks * layer.output[2]


def window_sizes(layer: Layer) -> str:
    """The fields of a window's record in C."""
    keys = ("kernel", "stride", "dilation", "padding")
    numbers = [number for key in keys for number in layer.numbers(key)[:2]]
    return ", ".join(map(str, (*layer.inputs[0][2:], layer.output[3], *numbers)))


def _emit(layer: Layer, out: Writer) -> None:
    if is_global(layer):
        _emit_global(layer, out)
        return
    _, _, h, w = layer.inputs[0]
    _, _, oh, ow = layer.output
    out.line("static const cf_window window = {")
    out.line(f"    {window_sizes(layer)},")
    out.line("};")
    largest = layer.node.op in _LARGEST
    if not largest:
        for axis, name in enumerate(("rows", "columns")):
            counts = ", ".join(f"{count}.0f" for count in counted_taps(layer, axis))
            out.line(f"static const float {name}[] = {{{counts}}};")
    with out.block("for (int unit = begin; unit < end; unit++)"):
        out.line(f"const float *from = x0 + unit / {oh} * {h * w * LANES}L;")
        out.line(f"float *to = y + unit * {ow * LANES}L;")
        arguments = f"&window, unit % {oh}, from, to"
        if largest:
            out.line(f"cf_pool_max({arguments});")
        else:
            out.line(f"cf_pool_average({arguments}, rows[unit % {oh}], columns);")
        if layer.node.epilogue:
            out.line(f"{epilogue_loop_name(layer.node.epilogue)}(to, {ow * LANES});")


def _emit_global(layer: Layer, out: Writer) -> None:
    channels, cells = layer.inputs[0][1], math.prod(layer.inputs[0][2:])
    blocks = -(-channels // LANES)
    with out.block("for (int unit = begin; unit < end; unit++)"):
        out.line(f"const int channel = unit % {blocks} * {LANES};")
        out.line(f"float value[{LANES}] __attribute__((aligned(64)));")
        kind = "max" if layer.node.op in _LARGEST else "mean"
        out.line(f"cf_pool_{kind}_all(x0 + unit * {cells * LANES}L, {cells}, value);")
        if layer.node.epilogue:
            out.line(f"{epilogue_loop_name(layer.node.epilogue)}(value, {LANES});")
        left = f"{channels} - channel"
        count = f"{left} < {LANES} ? {left} : {LANES}" if channels % LANES else str(LANES)
        to = f"y + unit / {blocks} * {channels}L + channel"
        out.line(f"memcpy({to}, value, sizeof(float) * (size_t)({count}));")


KERNEL = Kernel(
    "pool_blocked",
    refuses=_refuses,
    cost=_cost,
    pack=lambda _layer: (),
    emit=_emit,
    layouts=_layouts,
    units=_units,
    prelude=PRELUDE,
)
