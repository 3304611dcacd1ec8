"""Convolution on blocks of 16 channels: any kernel, stride, padding, dilation and groups.

The arithmetic is in `microkernel.c`, its loops in `conv_blocked.c`; a layer is a record of sizes
and a table of taps. Weights are packed as [panel of 16 outputs][tap][input channel of the tap][16],
the same for every instruction-set level.

A 1x1 convolution without stride and padding reads its map where it lies. Any other one copies the
rows that a chunk of its output reads into the workspace, with their border of zeros and so that
pixels which one tap reads together lie side by side: measured, the copy costs 1-2 % of a 3x3
convolution of 64 channels, and nothing else has to know of borders or strides. A planar map, that
of the network's input, is copied as it is and read channel by channel.

A group's outputs are computed from all blocks that hold inputs of theirs or of groups in the same
two panels, with weights of zero for the others: exact, and wasteful only for narrow groups.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from typing import TYPE_CHECKING

import numpy as np

from convforge.compiler.c.writer import c_float
from convforge.compiler.kernels.epilogue import epilogue_loop_name
from convforge.compiler.kernels.family import LANES, Kernel, Layer, Layout

if TYPE_CHECKING:
    from convforge.compiler.c.writer import Writer
    from convforge.compiler.ir.graph import Array
    from convforge.compiler.ir.ops import Step
    from convforge.compiler.kernels.family import Layouts

_CHUNK_FLOATS = 96 * 1024  # of the map that a chunk reads: well within a second-level cache
_PIXELS = (14, 6, 2)  # of the largest tile at each kind of level, as in microkernel.c
_LONGEST_RUN = 512  # pixels of rows that are taken together as one


@dataclass(frozen=True)
class _Tap:
    """Neighbouring floats of a map that one pixel reads: kernel row, columns; channel, lanes."""

    row: int
    columns: tuple[int, ...]
    channel: int
    lanes: int


@dataclass(frozen=True)
class _Plan:
    """Sizes of one layer, and how its map lies when tiles read it."""

    layer: Layer

    @cached_property
    def lanes(self) -> int:
        """Channels in a block of the map that is read: 16, or 1 where it is planar."""
        return LANES if self.layer.takes[0] is Layout.BLOCKED else 1

    @cached_property
    def direct(self) -> bool:
        """Whether the map is read where it lies."""
        return (
            self.lanes == LANES
            and self.kernel == (1, 1)
            and self.layer.numbers("stride") == (1, 1)
            and not any(self.layer.numbers("padding"))
        )

    @cached_property
    def kernel(self) -> tuple[int, int]:
        """Height and width of the kernel."""
        _, _, kh, kw = self.layer.constants[0].shape
        return kh, kw

    @cached_property
    def panels(self) -> int:
        """Blocks of 16 outputs."""
        return -(-self.layer.output[1] // LANES)

    @cached_property
    def pairs(self) -> int:
        """Units of a chunk."""
        return (self.panels + 1) // 2

    def steps(self, axis: int) -> tuple[tuple[int, int], ...]:
        """(phase, cells) of every kernel row or column: dilation · r = cells · stride + phase."""
        stride, dilation = (self.layer.numbers(key)[axis] for key in ("stride", "dilation"))
        return tuple(divmod(r * dilation, stride)[::-1] for r in range(self.kernel[axis]))

    def phases(self, axis: int) -> tuple[int, ...]:
        """The remainders by the stride that occur, in order."""
        return tuple(sorted({phase for phase, _ in self.steps(axis)}))

    def reach(self, axis: int) -> int:
        """How many rows or columns more than it has itself an output reads of a phase."""
        return max(cells for _, cells in self.steps(axis))

    @cached_property
    def size(self) -> tuple[int, int]:
        """Rows and columns of the output as tiles see it: short rows are taken together."""
        _, _, oh, ow = self.layer.output
        if not self.direct:
            return oh, ow
        taken = [k for k in range(1, oh + 1) if oh % k == 0 and (k == 1 or k * ow <= _LONGEST_RUN)]
        together = min(taken, key=lambda k: (_tile_cost(k * ow, _PIXELS[0]) * (oh // k), k))
        return oh // together, together * ow

    @cached_property
    def line(self) -> int:
        """Floats from what one output row reads to what the next one reads."""
        if self.direct:
            return self.size[1] * LANES
        return len(self.phases(1)) * self.columns * self.lanes

    @cached_property
    def columns(self) -> int:
        """Columns of one phase in the workspace."""
        return self.layer.output[3] + self.reach(1)

    @cached_property
    def read(self) -> tuple[tuple[int, ...], int]:
        """Per pair of panels the first block that it reads, and how many each reads."""
        groups, (_, ic, _, _) = self.layer.number("groups"), self.layer.inputs[0]
        blocks, oc = -(-ic // self.lanes), self.layer.output[1]
        if groups == 1:
            return (0,) * self.pairs, blocks
        spans = []
        for first in range(0, oc, 2 * LANES):
            last = min(first + 2 * LANES, oc) - 1
            start = first * groups // oc * (ic // groups) // self.lanes
            end = (last * groups // oc + 1) * (ic // groups)
            spans.append((start, -(-end // self.lanes)))
        count = max(end - start for start, end in spans)
        return tuple(min(start, blocks - count) for start, _ in spans), count

    @cached_property
    def chunk(self) -> int:
        """Output rows that are computed together: as many as fit a cache, in equal parts."""
        rows, _ = self.size
        channels = self.layer.inputs[0][1]
        floats = -(-channels // self.lanes) * self.line
        if not self.direct:
            floats *= len(self.phases(0))
        most = max(1, _CHUNK_FLOATS // floats - (0 if self.direct else self.reach(0)))
        return -(-rows // -(-rows // most))

    @cached_property
    def block(self) -> int:
        """Floats from one block of the map to the next."""
        if self.direct:
            return math.prod(self.layer.inputs[0][2:]) * LANES
        return len(self.phases(0)) * (self.chunk + self.reach(0)) * self.line

    @cached_property
    def taps(self) -> tuple[_Tap, ...]:
        """What a pixel reads, from the first block of its pair on."""
        _, ic, _, _ = self.layer.inputs[0]
        count = self.read[1]
        rows = range(self.kernel[0])
        if self.lanes == LANES:
            last = ic % LANES or LANES
            dense = self.layer.number("groups") == 1
            return tuple(
                _Tap(r, (q,), b * LANES, last if dense and b == count - 1 else LANES)
                for b in range(count)
                for r in rows
                for q in range(self.kernel[1])
            )
        runs = self._runs()
        return tuple(_Tap(r, run, c, 1) for c in range(count) for r in rows for run in runs)

    def _runs(self) -> list[tuple[int, ...]]:
        # Columns of the kernel whose cells are neighbours in the workspace.
        runs: list[tuple[int, ...]] = []
        at = self.steps(1)
        for q in sorted(range(self.kernel[1]), key=lambda q: at[q]):
            phase, cells = at[q]
            if runs and at[runs[-1][-1]] == (phase, cells - 1):
                runs[-1] += (q,)
            else:
                runs.append((q,))
        return runs

    def offset(self, tap: _Tap) -> int:
        """Floats from the first cell of a row's first pixel to a tap's."""
        block = tap.channel // self.lanes * self.block
        if self.direct:
            return block
        phase, rows = self.steps(0)[tap.row]
        row = self.phases(0).index(phase) * (self.chunk + self.reach(0)) + rows
        phase, cells = self.steps(1)[tap.columns[0]]
        column = self.phases(1).index(phase) * self.columns + cells
        return block + row * self.line + column * self.lanes

    @property
    def fan_in(self) -> int:
        """Products in one sum, those with idle zeros included."""
        return sum(len(tap.columns) * tap.lanes for tap in self.taps)


def _tile_cost(columns: int, most: int) -> float:
    """Vector operations a channel for a row in the best tiles; each loads its weights again."""
    return min(-(-columns // p) * (p + 0.3) for p in range(1, min(columns, most) + 1))


def _pixels(columns: int, most: int) -> int:
    sizes = range(1, min(columns, most) + 1)
    return min(sizes, key=lambda p: (-(-columns // p) * (p + 0.3), -p))


def _refuses(layer: Layer) -> str | None:
    return None if layer.node.op == "conv2d" else "not a convolution"


def _layouts(layer: Layer) -> tuple[Layouts, ...]:
    planar = Layout.PLANAR, Layout.BLOCKED
    if layer.number("groups") > 1 and layer.inputs[0][1] % LANES:
        return (planar,)  # weights of zero are no shield against what the idle lanes may hold
    return (Layout.BLOCKED, Layout.BLOCKED), planar


def _cost(layer: Layer) -> float:
    # Sums with idle lanes and pixels included, a tile's way in and out, the copy with a border.
    plan = _Plan(layer)
    rows, columns = plan.size
    tiles = rows * _tile_cost(columns, _PIXELS[0]) * plan.panels
    copied = 0 if plan.direct else math.prod(layer.inputs[0]) / plan.lanes
    return tiles * (plan.fan_in + 8) + copied


def _pack(layer: Layer) -> tuple[Array, ...]:
    plan = _Plan(layer)
    weight, *bias = layer.constants
    oc, icg = weight.shape[:2]
    groups, (_, ic, _, _) = layer.number("groups"), layer.inputs[0]
    channels = -(-ic // plan.lanes) * plan.lanes
    packed = np.zeros((plan.panels, plan.fan_in, LANES), np.float32)
    start = np.zeros(plan.panels * LANES, np.float32)
    if bias:
        start[:oc] = bias[0]
    for panel in range(plan.panels):
        outputs = range(panel * LANES, min(oc, (panel + 1) * LANES))
        dense = np.zeros((channels, *plan.kernel, LANES), np.float32)
        for lane, o in enumerate(outputs):
            group = o * groups // oc
            dense[group * icg : (group + 1) * icg, ..., lane] = weight[o]
        dense = dense[plan.read[0][panel // 2] * plan.lanes :]
        parts = [
            dense[tap.channel : tap.channel + tap.lanes, tap.row, list(tap.columns)]
            for tap in plan.taps
        ]
        packed[panel] = np.concatenate([part.reshape(-1, LANES) for part in parts])
    return packed, start


def _workspace(layer: Layer) -> int:
    plan = _Plan(layer)
    return 0 if plan.direct else -(-layer.inputs[0][1] // plan.lanes) * plan.block


def _units(layer: Layer) -> int:
    plan = _Plan(layer)
    return -(-plan.size[0] // plan.chunk) * plan.pairs


def _emit(layer: Layer, out: Writer) -> None:
    plan = _Plan(layer)
    _emit_table(out, "cf_tap", "taps", [f"{{{plan.offset(t)}, {_count(t)}}}" for t in plan.taps])
    first, _ = plan.read
    if any(first):
        _emit_table(out, "int", "first", [str(start * plan.block) for start in first])
    if not plan.direct:
        for axis, name in enumerate(("row_phase", "column_phase")):
            _emit_table(out, "int", name, [str(phase) for phase in plan.phases(axis)])
    fields = _fields(plan) | {".border.lanes": str(plan.lanes)}
    fields |= {} if plan.direct else _border(plan)
    with out.block("static const cf_conv conv =", end="};"):
        for name, value in fields.items():
            out.line(f"{name} = {value},")
    work = "NULL" if plan.direct else "workspace"
    out.line(f"cf_conv_units(&conv, x0, w0, w1, NULL, {work}, y, begin, end);")


def _count(tap: _Tap) -> int:
    return len(tap.columns) * tap.lanes


def _emit_table(out: Writer, kind: str, name: str, cells: list[str]) -> None:
    out.line(f"static const {kind} {name}[] = {{")
    for i in range(0, len(cells), 8):
        out.line(f"    {', '.join(cells[i : i + 8])},")
    out.line("};")


def _fields(plan: _Plan) -> dict[str, str]:
    _, _, oh, ow = plan.layer.output
    rows, columns = plan.size
    low, high, rest = _clip(plan.layer.node.epilogue)
    pixels = f"CF_PICK({', '.join(str(_pixels(columns, most)) for most in _PIXELS)})"
    return {
        ".sums.taps": "taps",
        ".sums.taps_count": str(len(plan.taps)),
        ".sums.weights": str(plan.fan_in * LANES),
        ".sums.plane": str(oh * ow * LANES),
        ".sums.low": c_float(low),
        ".sums.high": c_float(high),
        ".tiles": f"CF_TILES({pixels}, {plan.lanes})",
        ".finish": epilogue_loop_name(rest) if rest else "NULL",
        ".pixels": pixels,
        ".panels": str(plan.panels),
        ".rows": str(rows),
        ".columns": str(columns),
        ".chunk": str(plan.chunk),
        ".pitch": str(plan.line),
        ".first": "first" if any(plan.read[0]) else "NULL",
    }


def _border(plan: _Plan) -> dict[str, str]:
    _, ic, h, w = plan.layer.inputs[0]
    stride, padding = plan.layer.numbers("stride"), plan.layer.numbers("padding")
    sizes = {
        "blocks": -(-ic // plan.lanes),
        "height": h,
        "width": w,
        "top": padding[0],
        "left": padding[1],
        "stride_height": stride[0],
        "stride_width": stride[1],
        "row_phases": len(plan.phases(0)),
        "column_phases": len(plan.phases(1)),
        "reach": plan.reach(0),
        "columns": plan.columns,
    }
    fields = {f".border.{name}": str(value) for name, value in sizes.items()}
    return fields | {".border.row_phase": "row_phase", ".border.column_phase": "column_phase"}


def _clip(steps: tuple[Step, ...]) -> tuple[float, float, tuple[Step, ...]]:
    """What the microkernel does of an epilogue, lowest and highest value, and what is left."""
    if steps == (("relu",),):
        return 0.0, math.inf, ()
    if len(steps) == 1 and steps[0][0] == "clip":
        low, high = (float(number) for number in steps[0][1:])
        return low, high, ()
    return -math.inf, math.inf, steps


KERNEL = Kernel(
    "conv_blocked",
    refuses=_refuses,
    cost=_cost,
    pack=_pack,
    emit=_emit,
    layouts=_layouts,
    workspace=_workspace,
    units=_units,
    prelude="".join(
        (
            files("convforge.compiler.c").joinpath("vector.c").read_text(),
            files(__package__).joinpath("microkernel.c").read_text(),
            files(__package__).joinpath("conv_blocked.c").read_text(),
        )
    ),
)
