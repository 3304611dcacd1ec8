"""How a convolution's map lies when tiles of pixels read it, and which floats each pixel reads.

Convolutions without padding read their map where it lies; others copy the rows that a chunk of the
output reads into the workspace, with their border of zeros: [block][row][column][lane]
(`cf_copy_rows` in conv_blocked.c). Neighbouring outputs read cells that are a stride apart.
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
    from collections.abc import Iterator

    from convforge.compiler.c.writer import Writer
    from convforge.compiler.ir.ops import Step

PIXELS = (14, 6, 2, 5, 6)  # of the largest tile at each kind of level, as in microkernel.c
_FEWEST = (2, 4, 2, 4, 4)  # pixels whose sums do not wait for each other
# Pixels in the time that a tile takes to load a row of weights; with relaxed SIMD tiles of 4 come
# to 50 GFLOP/s where those of 6 come to 55 (Chromium, Zen 4).
_LOADS = (0.3, 0.3, 0.3, 0.3, 1.5)
LONGEST_STRIDE = 4  # at which tiles of several pixels read
_LONGEST_RUN = 512  # pixels of rows that are taken together as one


@dataclass(frozen=True)
class ConvPlan:
    """Sizes of one layer.

    `lanes` channels are a block of the map: 16, or 1 where it is planar; `blocks` of them lie in
    the workspace; `cache` floats is what a chunk may read. `given` is how many rows a chunk has
    where that is settled already.
    """

    layer: Layer
    lanes: int
    blocks: int
    cache: int
    given: int = 0

    @cached_property
    def direct(self) -> bool:
        """Whether the map is read where it lies."""
        return not any(self.layer.numbers("padding"))

    @cached_property
    def kernel(self) -> tuple[int, int]:
        """Height and width of the kernel."""
        _, _, kh, kw = self.layer.constants[0].shape
        return kh, kw

    @cached_property
    def span(self) -> tuple[int, int]:
        """Rows and columns that one output reads, those between taps included."""
        dilation = self.layer.numbers("dilation")
        rows, columns = ((k - 1) * d + 1 for k, d in zip(self.kernel, dilation, strict=True))
        return rows, columns

    @cached_property
    def size(self) -> tuple[int, int]:
        """Rows and columns of the output as tiles see it: short rows are taken together."""
        _, _, oh, ow = self.layer.output
        alone = self.kernel != (1, 1) or self.layer.numbers("stride") != (1, 1)
        if alone or self.given or not self.direct:
            return oh, ow
        taken = [k for k in range(1, oh + 1) if oh % k == 0 and (k == 1 or k * ow <= _LONGEST_RUN)]
        together = min(taken, key=lambda k: (tile_cost(k * ow) * (oh // k), k))
        return oh // together, together * ow

    @cached_property
    def columns(self) -> int:
        """Cells of a line of what is read."""
        _, left, _, right = self.layer.numbers("padding")
        return left + self.layer.inputs[0][3] + right

    @cached_property
    def line(self) -> int:
        """Floats from what one output row reads to what the next one reads."""
        stride = self.layer.numbers("stride")[0]
        together = self.layer.output[2] // self.size[0]
        return stride * together * self.columns * self.lanes

    @cached_property
    def step(self) -> int:
        """Floats from what one pixel reads to what the next one reads."""
        return self.layer.numbers("stride")[1] * self.lanes

    @property
    def cut(self) -> str:
        """How a row is cut into tiles, in C; a step that no tile has is one of single pixels."""
        if self.step > LONGEST_STRIDE * self.lanes:
            return f"1, 1, {self.lanes}"
        return f"{cut(self.size[1])}, {self.step}"

    @cached_property
    def chunk(self) -> int:
        """Output rows that are computed together: as many as fit a cache, in equal parts."""
        if self.given:
            return self.given
        rows, _ = self.size
        most = self.cache // (self.blocks * self.line)
        if not self.direct:
            stride = self.layer.numbers("stride")[0]
            lines = self.cache // (self.blocks * self.columns * self.lanes)
            most = (lines - self.span[0]) // stride + 1
        return -(-rows // -(-rows // max(1, most)))

    @cached_property
    def chunks(self) -> int:
        """How many of them there are."""
        return -(-self.size[0] // self.chunk)

    @cached_property
    def block(self) -> int:
        """Floats from one block of what is read to the next."""
        if self.direct:
            return math.prod(self.layer.inputs[0][2:]) * self.lanes
        lines = (self.chunk - 1) * self.layer.numbers("stride")[0] + self.span[0]
        return lines * self.columns * self.lanes

    @property
    def workspace(self) -> int:
        """Floats of a chunk's copy."""
        return 0 if self.direct else self.blocks * self.block

    def offset(self, row: int, column: int) -> int:
        """Floats from the first cell of a row's first pixel to what a cell of the kernel reads."""
        down, right = self.layer.numbers("dilation")
        return (row * down * self.columns + column * right) * self.lanes

    def emit(self, out: Writer, *, taps: list[tuple[int, int]], fields: dict[str, str]) -> None:
        """The layer's record `conv` with its tables; taps are (offset, count)."""
        emit_taps(out, "taps", taps)
        own = {".sums.taps": "taps", ".sums.taps_count": str(len(taps))}
        with out.block("static const cf_conv conv =", end="};"):
            for name, value in (own | self._fields() | fields | self.border()).items():
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
            ".step": str(self.step),
            ".rows": str(rows),
            ".columns": str(columns),
            ".chunk": str(self.chunk),
            ".pitch": str(self.line),
        }

    def border(self) -> dict[str, str]:
        """The fields of the record that say how a map is copied."""
        top, left, _, _ = self.layer.numbers("padding")
        _, _, height, width = self.layer.inputs[0]
        sizes = {"lanes": self.lanes, "blocks": self.blocks, "height": height, "width": width}
        sizes |= {"top": top, "left": left, "columns": self.columns, "span": self.span[0]}
        sizes["stride"] = self.layer.numbers("stride")[0]
        return {f".border.{name}": str(value) for name, value in sizes.items()}


def emit_taps(out: Writer, name: str, taps: list[tuple[int, int]]) -> None:
    """A table of (offset, count)."""
    emit_table(out, "cf_tap", name, [f"{{{offset}, {count}}}" for offset, count in taps])


def emit_table(out: Writer, kind: str, name: str, cells: list[str]) -> None:
    """A constant table of a layer."""
    out.line(f"static const {kind} {name}[] = {{")
    for i in range(0, len(cells), 8):
        out.line(f"    {', '.join(cells[i : i + 8])},")
    out.line("};")


def tile_cost(columns: int, kind: int = 0) -> float:
    """Vector operations a channel for a row in the best tiles at a kind of level."""
    return min(_costs(columns, kind))[0]


def cut(columns: int) -> str:
    """Pixels of the best tile for rows of so many, and of what is left, in C.

    A number for each kind of level; where nothing is left, the rest is a tile that nobody calls.
    """
    sizes = [min(_costs(columns, kind))[1] for kind in range(len(PIXELS))]
    whole = [-size for size in sizes]
    rests = [columns % size or size for size in whole]
    return ", ".join(f"CF_PICK({', '.join(map(str, numbers))})" for numbers in (whole, rests))


def _costs(columns: int, kind: int) -> Iterator[tuple[float, int]]:
    """Of every size of a tile the cost of a row, and the negative size.

    Of two the larger one is better: weights come from far, and come while its products are taken
    (16 tiles of Winograd's with 256 channels: 0.79 ms as 14 and 2, 0.92 as 8 and 8; Zen 4).
    """
    for size in range(1, min(columns, PIXELS[kind]) + 1):
        whole, rest = divmod(columns, size)
        sizes = [size] * whole + [rest] * (rest > 0)
        yield sum(max(one, _FEWEST[kind]) + _LOADS[kind] for one in sizes), -size


def clipped(steps: tuple[Step, ...]) -> tuple[float, float, tuple[Step, ...]]:
    """What the microkernel does of an epilogue, lowest and highest value, and what is left."""
    if steps == (("relu",),):
        return 0.0, math.inf, ()
    if len(steps) == 1 and steps[0][0] == "clip":
        low, high = (float(number) for number in steps[0][1:])
        return low, high, ()
    return -math.inf, math.inf, steps
