"""A convolution and the depthwise one that reads it, as one layer.

    y = depthwise(f(W * x + b)), f the steps between

What an inverted residual begins with, what MobileNet's blocks become when they are cut between the
depthwise and the pointwise convolution, a stem with the filters behind it. The map between, six
times as large as x as a rule, is never whole: a strip of its rows lies in the workspace while the
filters read it (conv_pair.c). Weights are packed as both families pack theirs.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from typing import TYPE_CHECKING

from convforge.compiler.c.writer import c_float
from convforge.compiler.kernels import conv_blocked, conv_depthwise
from convforge.compiler.kernels.conv_plan import ConvPlan, clipped, cut, emit_taps
from convforge.compiler.kernels.epilogue import epilogue_loop_name
from convforge.compiler.kernels.family import LANES, Kernel, Layer, Layout

if TYPE_CHECKING:
    from convforge.compiler.c.writer import Writer
    from convforge.compiler.ir.graph import Array
    from convforge.compiler.ir.ops import Step
    from convforge.compiler.kernels.family import Layouts

_PANELS = 2  # blocks of a unit
_STRIP_FLOATS = 64 * 1024  # of the map between that lie in the workspace


@dataclass(frozen=True)
class _Pair:
    """One layer as the two that it is made of."""

    layer: Layer

    @cached_property
    def mix(self) -> Layer:
        """The first convolution."""
        return self.layer.parts[0]

    @cached_property
    def filter(self) -> Layer:
        """The depthwise one."""
        return self.layer.parts[1]

    @cached_property
    def panels(self) -> int:
        """Blocks of the output."""
        return -(-self.layer.output[1] // LANES)

    @cached_property
    def line(self) -> int:
        """Cells of a row of the map between, its border included."""
        _, left, _, right = self.layer.numbers("padding")
        return left + self.mix.output[3] + right

    def lines(self, rows: int) -> int:
        """Rows of the map between that so many output rows read."""
        filters = ConvPlan(self.filter, LANES, 1, 0)
        return (rows - 1) * self.layer.numbers("stride")[0] + filters.span[0]

    @cached_property
    def strip(self) -> int:
        """Output rows of a unit: as many as fit a near cache, in equal parts."""
        rows, most = self.layer.output[2], 1
        while most < rows and _PANELS * self.lines(most + 1) * self.line * LANES <= _STRIP_FLOATS:
            most += 1
        return -(-rows // -(-rows // most))

    @property
    def plane(self) -> int:
        """Floats of one block of the workspace."""
        return self.lines(self.strip) * self.line * LANES

    @cached_property
    def plan(self) -> ConvPlan:
        """How the first convolution reads its map."""
        lanes = LANES if self.layer.takes[0] is Layout.BLOCKED else 1
        blocks = -(-self.layer.inputs[0][1] // lanes)
        return ConvPlan(self.mix, lanes, blocks, 0, given=self.lines(self.strip))

    @property
    def units(self) -> int:
        """Strips of all pairs of blocks."""
        return -(-self.layer.output[2] // self.strip) * -(-self.panels // _PANELS)


def _refuses(layer: Layer) -> str | None:
    return None if layer.node.op == "conv2d_pair" else "no pair of convolutions"


def _layouts(_layer: Layer) -> tuple[Layouts, ...]:
    return (Layout.BLOCKED, Layout.BLOCKED), (Layout.PLANAR, Layout.BLOCKED)


def _cost(layer: Layer) -> float:
    pair = _Pair(layer)
    return conv_blocked.KERNEL.cost(pair.mix) + conv_depthwise.KERNEL.cost(pair.filter)


def _pack(layer: Layer) -> tuple[Array, ...]:
    pair = _Pair(layer)
    return *conv_blocked.KERNEL.pack(pair.mix), *conv_depthwise.KERNEL.pack(pair.filter)


def _emit(layer: Layer, out: Writer) -> None:
    pair = _Pair(layer)
    plan, (_, _, height, width) = pair.plan, pair.mix.output
    (down, right), (top, left, _, _) = layer.numbers("stride"), layer.numbers("padding")
    mixed = conv_blocked.taps(pair.mix, plan)
    (rows, columns), dilation = layer.constants[2].shape[2:], layer.numbers("dilation")
    cells = [
        r * dilation[0] * pair.line + q * dilation[1] for r in range(rows) for q in range(columns)
    ]
    emit_taps(out, "mixed", mixed)
    emit_taps(out, "filtered", [(cell * LANES, LANES) for cell in cells])
    fields = {
        **_sums("mix", mixed, pair.mix.node.epilogue),
        **_sums("filter", [(cell, 1) for cell in cells], layer.node.epilogue),
        ".mix.plane": pair.plane,
        ".mix_tiles": f"CF_CUTS({plan.cut})",
        ".mix_step": plan.step,
        ".filter_tiles": f"CF_CUT(depthwise, {cut(layer.output[3])}, {right * LANES})",
        ".copies": int(not plan.direct),
        ".pitch": plan.line,
        ".copied": _PANELS * pair.plane,
        **plan.border(),
    }
    sizes = {"panels": pair.panels, "height": height, "width": width, "rows": layer.output[2]}
    sizes |= {"columns": layer.output[3], "strip": pair.strip, "top": top, "left": left}
    sizes |= {"stride_height": down, "stride_width": right}
    sizes |= {"lines": pair.lines(pair.strip), "line": pair.line}
    with out.block("static const cf_pair pair =", end="};"):
        for name, value in (fields | {f".{name}": size for name, size in sizes.items()}).items():
            out.line(f"{name} = {value},")
    out.line("cf_pair_units(&pair, x0, w0, w1, w2, w3, workspace, y, begin, end);")


def _sums(name: str, taps: list[tuple[int, int]], steps: tuple[Step, ...]) -> dict[str, str | int]:
    low, high, rest = clipped(steps)
    return {
        f".{name}.taps": f"{name}ed",
        f".{name}.taps_count": len(taps),
        f".{name}.weights": sum(count for _, count in taps) * LANES,
        f".{name}.pixel": LANES,
        f".{name}.low": c_float(low),
        f".{name}.high": c_float(high),
        f".{name}_finish": epilogue_loop_name(rest) if rest else "NULL",
    }


KERNEL = Kernel(
    "conv_pair",
    refuses=_refuses,
    cost=_cost,
    pack=_pack,
    emit=_emit,
    layouts=_layouts,
    workspace=lambda layer: _PANELS * _Pair(layer).plane + _Pair(layer).plan.workspace,
    units=lambda layer: _Pair(layer).units,
    prelude=conv_depthwise.KERNEL.prelude + files(__package__).joinpath("conv_pair.c").read_text(),
)
