"""Max and average pooling on blocks of 16 channels; the window is clipped to the map.

A unit is one row of one block. The average over a whole map gives its result planar, as those read
it that follow: one number a channel is the same in both layouts.
"""

from __future__ import annotations

import math
from importlib.resources import files
from typing import TYPE_CHECKING

from convforge.compiler.c.writer import c_float
from convforge.compiler.kernels.epilogue import epilogue_loop_name
from convforge.compiler.kernels.family import LANES, Kernel, Layer, Layout

if TYPE_CHECKING:
    from convforge.compiler.c.writer import Writer
    from convforge.compiler.kernels.family import Layouts


def _refuses(layer: Layer) -> str | None:
    return None if layer.node.op in {"max_pool", "avg_pool"} else "not a pooling layer"


def _is_global(layer: Layer) -> bool:
    return layer.numbers("kernel") == layer.inputs[0][2:] and not any(layer.numbers("padding"))


def _layouts(layer: Layer) -> tuple[Layouts, ...]:
    if _is_global(layer):
        return ((Layout.BLOCKED, Layout.PLANAR),)
    return ((Layout.BLOCKED, Layout.BLOCKED),)


def _cost(layer: Layer) -> float:
    blocks = Layout.BLOCKED.floats(layer.output) / LANES
    return blocks * (math.prod(layer.numbers("kernel")) + 4)


def _units(layer: Layer) -> int:
    blocks = -(-layer.output[1] // LANES)
    return blocks if _is_global(layer) else blocks * layer.output[2]


def _emit(layer: Layer, out: Writer) -> None:
    largest = layer.node.op == "max_pool"
    if _is_global(layer):
        _emit_global(layer, out)
        return
    _, _, h, w = layer.inputs[0]
    _, _, oh, ow = layer.output
    out.line("static const cf_window window = {")
    keys = ("kernel", "stride", "dilation", "padding")
    numbers = [number for key in keys for number in layer.numbers(key)]
    out.line(f"    {h}, {w}, {ow}, {', '.join(map(str, numbers))},")
    out.line("};")
    kind = "cf_pool_max" if largest else "cf_pool_average"
    with out.block("for (int unit = begin; unit < end; unit++)"):
        out.line(f"const float *from = x0 + unit / {oh} * {h * w * LANES}L;")
        out.line(f"float *to = y + unit * {ow * LANES}L;")
        more = "" if largest else f", {layer.number('count_padding')}"
        out.line(f"{kind}(&window, unit % {oh}, from, to{more});")
        if layer.node.epilogue:
            out.line(f"{epilogue_loop_name(layer.node.epilogue)}(to, {ow * LANES});")


def _emit_global(layer: Layer, out: Writer) -> None:
    channels, cells = layer.inputs[0][1], math.prod(layer.inputs[0][2:])
    largest = layer.node.op == "max_pool"
    scale = 1.0 if largest else 1 / cells
    with out.block("for (int unit = begin; unit < end; unit++)"):
        out.line(f"float value[{LANES}] __attribute__((aligned(64)));")
        function = "cf_pool_max_all" if largest else "cf_pool_sum_all"
        out.line(f"{function}(x0 + unit * {cells * LANES}L, {cells}, {c_float(scale)}, value);")
        if layer.node.epilogue:
            out.line(f"{epilogue_loop_name(layer.node.epilogue)}(value, {LANES});")
        left = f"{channels} - unit * {LANES}"
        count = f"{left} < {LANES} ? {left} : {LANES}" if channels % LANES else str(LANES)
        out.line(f"memcpy(y + unit * {LANES}, value, sizeof(float) * (size_t)({count}));")


KERNEL = Kernel(
    "pool_blocked",
    refuses=_refuses,
    cost=_cost,
    pack=lambda _layer: (),
    emit=_emit,
    layouts=_layouts,
    units=_units,
    prelude=files("convforge.compiler.c").joinpath("vector.c").read_text()
    + files(__package__).joinpath("pool_blocked.c").read_text(),
)
