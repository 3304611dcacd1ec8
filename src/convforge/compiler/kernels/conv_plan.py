"""How a convolution's map lies when tiles of pixels read it, and which floats each pixel reads.

Convolutions read their map where it lies (1x1, without stride and padding), or copy the rows that a
chunk of the output reads into the workspace, with their border of zeros and so that pixels which
one tap reads together lie side by side: [block][row phase][row][column phase][column][lane], a
phase for each remainder by the stride (`cf_copy_rows` in conv_blocked.c).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from convforge.compiler.c.writer import c_float
from convforge.compiler.kernels.epilogue import epilogue_loop_name
from convforge.compiler.kernels.family import LANES, Layer

if TYPE_CHECKING:
    from convforge.compiler.c.writer import Writer
    from convforge.compiler.ir.ops import Step

PIXELS = (14, 6, 2)  # of the largest tile at each kind of level, as in microkernel.c
_LONGEST_RUN = 512  # pixels of rows that are taken together as one


@dataclass(frozen=True)
class ConvPlan:
    """Sizes of one layer.

    `lanes` channels are a block of the map: 16, or 1 where it is planar; `blocks` of them lie in
    the workspace; `cache` floats is what a chunk may read.
    """

    layer: Layer
    lanes: int
    blocks: int
    cache: int

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
        together = min(taken, key=lambda k: (tile_cost(k * ow) * (oh // k), k))
        return oh // together, together * ow

    @cached_property
    def columns(self) -> int:
        """Columns of one phase in the workspace."""
        return self.layer.output[3] + self.reach(1)

    @cached_property
    def line(self) -> int:
        """Floats from what one output row reads to what the next one reads."""
        if self.direct:
            return self.size[1] * LANES
        return len(self.phases(1)) * self.columns * self.lanes

    @cached_property
    def chunk(self) -> int:
        """Output rows that are computed together: as many as fit a cache, in equal parts."""
        rows, _ = self.size
        floats = self.blocks * self.line * (1 if self.direct else len(self.phases(0)))
        most = max(1, self.cache // floats - (0 if self.direct else self.reach(0)))
        return -(-rows // -(-rows // most))

    @cached_property
    def chunks(self) -> int:
        """How many of them there are."""
        return -(-self.size[0] // self.chunk)

    @cached_property
    def block(self) -> int:
        """Floats from one block of the map to the next."""
        if self.direct:
            return math.prod(self.layer.inputs[0][2:]) * LANES
        return len(self.phases(0)) * (self.chunk + self.reach(0)) * self.line

    @property
    def workspace(self) -> int:
        """Floats of a chunk's copy."""
        return 0 if self.direct else self.blocks * self.block

    def offset(self, row: int, column: int) -> int:
        """Floats from the first cell of a row's first pixel to what a cell of the kernel reads."""
        if self.direct:
            return 0
        phase, rows = self.steps(0)[row]
        down = self.phases(0).index(phase) * (self.chunk + self.reach(0)) + rows
        phase, cells = self.steps(1)[column]
        right = self.phases(1).index(phase) * self.columns + cells
        return down * self.line + right * self.lanes

    def emit(self, out: Writer, *, taps: list[tuple[int, int]], fields: dict[str, str]) -> None:
        """The layer's record `conv` with its tables; taps are (offset, count)."""
        emit_table(out, "cf_tap", "taps", [f"{{{offset}, {count}}}" for offset, count in taps])
        if not self.direct:
            for axis, name in enumerate(("row_phase", "column_phase")):
                emit_table(out, "int", name, [str(phase) for phase in self.phases(axis)])
        own = {".sums.taps": "taps", ".sums.taps_count": str(len(taps))}
        with out.block("static const cf_conv conv =", end="};"):
            for name, value in (own | self._fields() | fields | self._border()).items():
                out.line(f"{name} = {value},")

    def _fields(self) -> dict[str, str]:
        _, _, oh, ow = self.layer.output
        rows, columns = self.size
        low, high, rest = clipped(self.layer.node.epilogue)
        return {
            ".sums.plane": str(oh * ow * LANES),
            ".sums.pixel": str(LANES),
            ".sums.low": c_float(low),
            ".sums.high": c_float(high),
            ".finish": epilogue_loop_name(rest) if rest else "NULL",
            ".pixels": pixels(self.size[1]),
            ".rows": str(rows),
            ".columns": str(columns),
            ".chunk": str(self.chunk),
            ".pitch": str(self.line),
        }

    def _border(self) -> dict[str, str]:
        sizes = {"lanes": self.lanes, "blocks": self.blocks}
        if self.direct:
            return {f".border.{name}": str(value) for name, value in sizes.items()}
        stride, padding = self.layer.numbers("stride"), self.layer.numbers("padding")
        sizes |= {"height": self.layer.inputs[0][2], "width": self.layer.inputs[0][3]}
        sizes |= {"top": padding[0], "left": padding[1]}
        sizes |= {"stride_height": stride[0], "stride_width": stride[1]}
        sizes |= {"row_phases": len(self.phases(0)), "column_phases": len(self.phases(1))}
        sizes |= {"reach": self.reach(0), "columns": self.columns}
        fields = {f".border.{name}": str(value) for name, value in sizes.items()}
        return fields | {".border.row_phase": "row_phase", ".border.column_phase": "column_phase"}


def emit_table(out: Writer, kind: str, name: str, cells: list[str]) -> None:
    """A constant table of a layer."""
    out.line(f"static const {kind} {name}[] = {{")
    for i in range(0, len(cells), 8):
        out.line(f"    {', '.join(cells[i : i + 8])},")
    out.line("};")


def tile_cost(columns: int, most: int = PIXELS[0]) -> float:
    """Vector operations a channel for a row in the best tiles; each loads its weights again."""
    return min(-(-columns // p) * (p + 0.3) for p in range(1, min(columns, most) + 1))


def pixels(columns: int) -> str:
    """Pixels of the best tile for rows of so many, in C: a number for each kind of level."""
    best = []
    for most in PIXELS:
        sizes = range(1, min(columns, most) + 1)
        best.append(min(sizes, key=lambda p: (-(-columns // p) * (p + 0.3), -p)))
    return f"CF_PICK({', '.join(map(str, best))})"


def clipped(steps: tuple[Step, ...]) -> tuple[float, float, tuple[Step, ...]]:
    """What the microkernel does of an epilogue, lowest and highest value, and what is left."""
    if steps == (("relu",),):
        return 0.0, math.inf, ()
    if len(steps) == 1 and steps[0][0] == "clip":
        low, high = (float(number) for number in steps[0][1:])
        return low, high, ()
    return -math.inf, math.inf, steps
