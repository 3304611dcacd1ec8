"""Convolution on blocks of 16 channels: any kernel, stride, padding, dilation and groups.

The arithmetic is in `microkernel.c`, its loops in `conv_blocked.c`; a layer is a record of sizes
and a table of taps. Weights are packed as [panel of 16 outputs][tap][input channel of the tap][16],
the same for every instruction-set level.

A convolution without padding reads its map where it lies, any other one a copy of the rows that a
chunk of its output reads (conv_plan.py): measured, the copy costs 1-2 % of a 3x3 convolution of 64
channels, and nothing else has to know of borders. A planar map, that of the network's input, is
read channel by channel.

A group's outputs are computed from all blocks that hold inputs of theirs or of groups in the same
panels, with weights of zero for the others: exact, and wasteful only for narrow groups.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from typing import TYPE_CHECKING

import numpy as np

from convforge.compiler.kernels.conv_plan import ConvPlan, emit_table, tile_cost
from convforge.compiler.kernels.family import CONVOLUTIONS, LANES, Kernel, Layer, Layout

if TYPE_CHECKING:
    from convforge.compiler.c.writer import Writer
    from convforge.compiler.ir.graph import Array
    from convforge.compiler.kernels.family import Layouts

_CHUNK_FLOATS = 96 * 1024  # of the map that a chunk reads: well within a second-level cache

MEMORY = 6  # vector operations in the time that 16 weights take to come from memory

PRELUDE = "".join(
    (
        files("convforge.compiler.c").joinpath("vector.c").read_text(),
        files(__package__).joinpath("microkernel.c").read_text(),
        files(__package__).joinpath("conv_blocked.c").read_text(),
    )
)


@dataclass(frozen=True)
class _Tap:
    """A cell of the kernel in `lanes` channels from `channel` on."""

    row: int
    column: int
    channel: int
    lanes: int


@dataclass(frozen=True)
class _Conv:
    """One layer, cut into panels of 16 outputs."""

    layer: Layer
    given: ConvPlan | None = None

    @cached_property
    def plan(self) -> ConvPlan:
        """How the map is read."""
        if self.given is not None:
            return self.given
        lanes = LANES if self.layer.takes[0] is Layout.BLOCKED else 1
        blocks = -(-self.layer.inputs[0][1] // lanes)
        return ConvPlan(self.layer, lanes, blocks, _CHUNK_FLOATS)

    @cached_property
    def panels(self) -> int:
        """Blocks of 16 outputs."""
        return -(-self.layer.output[1] // LANES)

    @cached_property
    def width(self) -> int:
        """Panels of a unit: two, or one where two would read more blocks for their groups."""
        return min((2, 1), key=lambda width: self._spans(width)[1])

    @cached_property
    def read(self) -> tuple[tuple[int, ...], int]:
        """Per unit of a chunk the first block that it reads, and how many each reads."""
        return self._spans(self.width)

    def _spans(self, width: int) -> tuple[tuple[int, ...], int]:
        groups, (_, ic, _, _) = self.layer.number("groups"), self.layer.inputs[0]
        blocks, lanes, oc = self.plan.blocks, self.plan.lanes, self.layer.output[1]
        spans = []
        for first in range(0, oc, width * LANES):
            last = min(first + width * LANES, oc) - 1
            start = first * groups // oc * (ic // groups) // lanes
            end = (last * groups // oc + 1) * (ic // groups)
            spans.append((start, -(-end // lanes)))
        count = max(end - start for start, end in spans)
        return tuple(min(start, blocks - count) for start, _ in spans), count

    @cached_property
    def taps(self) -> tuple[_Tap, ...]:
        """What a pixel reads, from the first block of its unit on."""
        _, ic, _, _ = self.layer.inputs[0]
        count, lanes = self.read[1], self.plan.lanes
        rows, columns = self.plan.kernel
        short = ic % lanes or lanes if self.layer.number("groups") == 1 else lanes
        return tuple(
            _Tap(r, q, block * lanes, short if block == count - 1 else lanes)
            for block in range(count)
            for r in range(rows)
            for q in range(columns)
        )

    @cached_property
    def fan_in(self) -> int:
        """Products in one sum, those with idle zeros included."""
        return sum(tap.lanes for tap in self.taps)

    def table(self) -> list[tuple[int, int]]:
        """(offset, count) of every tap."""
        plan = self.plan
        blocks = [tap.channel // plan.lanes * plan.block for tap in self.taps]
        return [
            (block + plan.offset(tap.row, tap.column), tap.lanes)
            for block, tap in zip(blocks, self.taps, strict=True)
        ]


def taps(layer: Layer, plan: ConvPlan) -> list[tuple[int, int]]:
    """(offset, count) of every tap of a convolution whose map lies as the plan says."""
    return _Conv(layer, plan).table()


def _refuses(layer: Layer) -> str | None:
    return None if layer.node.op in CONVOLUTIONS else "not a convolution"


def _layouts(layer: Layer) -> tuple[Layouts, ...]:
    more = (Layout.BLOCKED,) * len(layer.inputs)  # an addend lies like the result
    planar = Layout.PLANAR, *more
    if layer.number("groups") > 1 and layer.inputs[0][1] % LANES:
        return (planar,)  # weights of zero are no shield against what the idle lanes may hold
    return (Layout.BLOCKED, *more), planar


def _cost(layer: Layer) -> float:
    # Sums with idle lanes and pixels included, a tile's way in and out, the copy with a border.
    conv = _Conv(layer)
    rows, columns = conv.plan.size
    tiles = rows * tile_cost(columns) * conv.panels
    copied = 0 if conv.plan.direct else math.prod(layer.inputs[0]) / conv.plan.lanes
    weights = conv.panels * conv.fan_in * conv.plan.chunks
    return tiles * (conv.fan_in + 8) + copied + MEMORY * weights


def _pack(layer: Layer) -> tuple[Array, ...]:
    conv = _Conv(layer)
    weight, *bias = layer.constants
    oc = weight.shape[0]
    packed = np.zeros((conv.panels, conv.fan_in, LANES), np.float32)
    start = np.zeros(conv.panels * LANES, np.float32)
    if bias:
        start[:oc] = bias[0]
    for panel in range(conv.panels):
        dense = _panel_weights(conv, panel)
        packed[panel] = np.concatenate(
            [dense[tap.channel : tap.channel + tap.lanes, tap.row, tap.column] for tap in conv.taps]
        )
    return packed, start


def _panel_weights(conv: _Conv, panel: int) -> Array:
    """Of shape [channels from the first block that the panel reads, KH, KW, 16]."""
    weight = conv.layer.constants[0]
    oc, icg = weight.shape[:2]
    lanes = conv.plan.lanes
    dense = np.zeros((conv.plan.blocks * lanes, *conv.plan.kernel, LANES), np.float32)
    for o in range(panel * LANES, min(oc, (panel + 1) * LANES)):
        group = o * conv.layer.number("groups") // oc
        dense[group * icg : (group + 1) * icg, ..., o % LANES] = weight[o]
    return dense[conv.read[0][panel // conv.width] * lanes :]


def _units(layer: Layer) -> int:
    conv = _Conv(layer)
    return conv.plan.chunks * -(-conv.panels // conv.width)


def _is_half(layer: Layer) -> bool:
    """Whether no channel has the second half of the last panel."""
    return 0 < layer.output[1] % LANES <= LANES // 2


def _emit(layer: Layer, out: Writer) -> None:
    conv = _Conv(layer)
    plan, (first, _) = conv.plan, conv.read
    if any(first):
        emit_table(out, "int", "first", [str(start * plan.block) for start in first])
    fields = {
        ".sums.weights": str(conv.fan_in * LANES),
        ".tiles": f"CF_CUTS({plan.cut})",
        ".half": f"CF_CUT(half, {plan.cut})" if _is_half(layer) else "{0}",
        ".panels": str(conv.panels),
        ".width": str(conv.width),
        ".first": "first" if any(first) else "NULL",
    }
    plan.emit(out, taps=conv.table(), fields=fields)
    addend = "x1" if layer.node.op == "conv2d_add" else "NULL"
    work = "workspace" if plan.workspace else "NULL"
    out.line(f"cf_conv_units(&conv, x0, w0, w1, {addend}, {work}, y, begin, end);")


KERNEL = Kernel(
    "conv_blocked",
    refuses=_refuses,
    cost=_cost,
    pack=_pack,
    emit=_emit,
    layouts=_layouts,
    workspace=lambda layer: _Conv(layer).plan.workspace,
    units=_units,
    prelude=PRELUDE,
)
