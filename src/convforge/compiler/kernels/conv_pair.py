"""A pointwise convolution and the depthwise one that reads it, as one layer.

    y = depthwise(f(W x + b)), f the steps between

What an inverted residual begins with, and what MobileNet's blocks become when they are cut between
the depthwise and the pointwise convolution. The map between, six times as large as x as a rule, is
never whole: a strip of its rows lies in the workspace while the filters read it (conv_pair.c).
Weights are packed as both families pack theirs.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from typing import TYPE_CHECKING

from convforge.compiler.c.writer import c_float
from convforge.compiler.ir.graph import Node
from convforge.compiler.ir.ops import POINTWISE
from convforge.compiler.kernels import conv_blocked, conv_depthwise
from convforge.compiler.kernels.conv_plan import clipped, emit_table, pixels
from convforge.compiler.kernels.epilogue import epilogue_loop_name
from convforge.compiler.kernels.family import LANES, Kernel, Layer, Layout

if TYPE_CHECKING:
    from convforge.compiler.c.writer import Writer
    from convforge.compiler.ir.graph import Array
    from convforge.compiler.ir.ops import Step
    from convforge.compiler.kernels.family import Layouts

_BLOCKED = (Layout.BLOCKED, Layout.BLOCKED)
_PANELS = 2  # blocks of a unit
_STRIP_FLOATS = 32 * 1024  # of the map between that lie in the workspace


@dataclass(frozen=True)
class _Pair:
    """One layer as the two that it is made of."""

    layer: Layer

    @cached_property
    def mix(self) -> Layer:
        """The pointwise convolution."""
        layer, (n, _, h, w) = self.layer, self.layer.inputs[0]
        between = (n, layer.constants[0].shape[0], h, w)
        node = Node(layer.node.name, "conv2d", (), POINTWISE, layer.node.between)
        return Layer(node, layer.inputs, layer.constants[:2], between, _BLOCKED)

    @cached_property
    def filter(self) -> Layer:
        """The depthwise convolution."""
        layer = self.layer
        attrs = {key: layer.node.attrs[key] for key in ("stride", "dilation", "padding")}
        attrs["groups"] = layer.output[1]
        node = Node(layer.node.name, "conv2d", (), attrs, layer.node.epilogue)
        return Layer(node, (self.mix.output,), layer.constants[2:], layer.output, _BLOCKED)

    @cached_property
    def panels(self) -> int:
        """Blocks of the output."""
        return -(-self.layer.output[1] // LANES)

    @cached_property
    def span(self) -> tuple[int, int]:
        """Rows and columns that one output reads, those between taps included."""
        kernel, dilation = self.layer.constants[2].shape[2:], self.layer.numbers("dilation")
        rows, columns = ((k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True))
        return rows, columns

    @cached_property
    def line(self) -> int:
        """Cells of a row of the map between, its border included."""
        _, left, _, right = self.layer.numbers("padding")
        return left + self.layer.inputs[0][3] + right

    def lines(self, rows: int) -> int:
        """Rows of the map between that so many output rows read."""
        return (rows - 1) * self.layer.numbers("stride")[0] + self.span[0]

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

    @property
    def units(self) -> int:
        """Strips of all pairs of blocks."""
        return -(-self.layer.output[2] // self.strip) * -(-self.panels // _PANELS)


def _refuses(layer: Layer) -> str | None:
    return None if layer.node.op == "conv2d_pair" else "no pointwise and depthwise convolution"


def _layouts(_layer: Layer) -> tuple[Layouts, ...]:
    return (_BLOCKED,)


def _cost(layer: Layer) -> float:
    pair = _Pair(layer)
    return conv_blocked.KERNEL.cost(pair.mix) + conv_depthwise.KERNEL.cost(pair.filter)


def _pack(layer: Layer) -> tuple[Array, ...]:
    pair = _Pair(layer)
    return *conv_blocked.KERNEL.pack(pair.mix), *conv_depthwise.KERNEL.pack(pair.filter)


def _emit(layer: Layer, out: Writer) -> None:
    pair = _Pair(layer)
    _, channels, height, width = layer.inputs[0]
    (down, right), (top, left, _, _) = layer.numbers("stride"), layer.numbers("padding")
    (rows, columns), dilation = layer.constants[2].shape[2:], layer.numbers("dilation")
    blocks = range(0, channels, LANES)
    mixed = [(c * height * width, min(LANES, channels - c)) for c in blocks]
    cells = [
        r * dilation[0] * pair.line + q * dilation[1] for r in range(rows) for q in range(columns)
    ]
    for name, taps in ("mixed", mixed), ("filtered", [(cell * LANES, LANES) for cell in cells]):
        emit_table(out, "cf_tap", name, [f"{{{offset}, {count}}}" for offset, count in taps])
    mix_pixels, filter_pixels = pixels(width), pixels(layer.output[3])
    fields = {
        **_sums("mix", "mixed", len(mixed), channels, pair.mix.node.epilogue),
        **_sums("filter", "filtered", len(cells), len(cells), layer.node.epilogue),
        ".mix.plane": pair.plane,
        ".mix_tiles": f"CF_TILES({mix_pixels}, {LANES})",
        ".filter_tile": f"CF_DEPTHWISE({filter_pixels}, {right * LANES})",
        ".mix_pixels": mix_pixels,
        ".filter_pixels": filter_pixels,
    }
    sizes = {"panels": pair.panels, "height": height, "width": width, "rows": layer.output[2]}
    sizes |= {"columns": layer.output[3], "strip": pair.strip, "top": top, "left": left}
    sizes |= {"stride_height": down, "stride_width": right}
    sizes |= {"lines": pair.lines(pair.strip), "line": pair.line}
    with out.block("static const cf_pair pair =", end="};"):
        for name, value in (fields | {f".{name}": size for name, size in sizes.items()}).items():
            out.line(f"{name} = {value},")
    out.line("cf_pair_units(&pair, x0, w0, w1, w2, w3, workspace, y, begin, end);")


def _sums(
    name: str, taps: str, count: int, fan_in: int, steps: tuple[Step, ...]
) -> dict[str, str | int]:
    low, high, rest = clipped(steps)
    return {
        f".{name}.taps": taps,
        f".{name}.taps_count": count,
        f".{name}.weights": fan_in * LANES,
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
    workspace=lambda layer: _PANELS * _Pair(layer).plane,
    units=lambda layer: _Pair(layer).units,
    prelude=conv_depthwise.KERNEL.prelude + files(__package__).joinpath("conv_pair.c").read_text(),
)
