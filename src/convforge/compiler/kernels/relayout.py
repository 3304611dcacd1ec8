"""Maps from one layout to another; an epilogue on the way costs nothing more.

The lanes that no channel has become zeros when a map is cut into blocks.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from convforge.compiler.kernels.epilogue import epilogue_expression
from convforge.compiler.kernels.family import LANES, Kernel, Layer, Layout

if TYPE_CHECKING:
    from convforge.compiler.c.writer import Writer
    from convforge.compiler.kernels.family import Layouts


def _refuses(layer: Layer) -> str | None:
    if layer.node.op != "elementwise":
        return "computes something"
    return None if len(layer.output) == 4 else "not a map"


def _layouts(_layer: Layer) -> tuple[Layouts, ...]:
    return (Layout.PLANAR, Layout.BLOCKED), (Layout.BLOCKED, Layout.PLANAR)


def _cost(layer: Layer) -> float:
    return 4 * Layout.BLOCKED.floats(layer.output) / LANES


def _units(layer: Layer) -> int:
    return layer.output[0] * -(-layer.output[1] // LANES)


def _emit(layer: Layer, out: Writer) -> None:
    channels, cells = layer.output[1], math.prod(layer.output[2:])
    blocks = -(-channels // LANES)
    block = f"unit * {cells * LANES}L"
    plane = f"(unit / {blocks} * {channels} + channel) * {cells}L"
    planar = layer.gives is Layout.PLANAR
    with out.block("for (int unit = begin; unit < end; unit++)"):
        out.line(f"const int channel = unit % {blocks} * {LANES};")
        out.line(f"const int lanes = {channels} - channel;")
        out.line(f"const float *from = x0 + {block if planar else plane};")
        out.line(f"float *to = y + {plane if planar else block};")
        with out.loop("i", cells), out.loop("lane", LANES):
            source = f"from[i * {LANES} + lane]" if planar else f"from[lane * {cells}L + i]"
            target = f"to[lane * {cells}L + i]" if planar else f"to[i * {LANES} + lane]"
            value = epilogue_expression(layer.node.epilogue, source)
            if planar and channels % LANES:
                with out.block("if (lane < lanes)"):
                    out.line(f"{target} = {value};")
            else:
                whole = planar or channels % LANES == 0
                out.line(f"{target} = {value if whole else f'lane < lanes ? {value} : 0.0f'};")
        if channels % LANES == 0:
            out.line("(void)lanes;")


KERNEL = Kernel(
    "relayout",
    refuses=_refuses,
    cost=_cost,
    pack=lambda _layer: (),
    emit=_emit,
    layouts=_layouts,
    units=_units,
)
