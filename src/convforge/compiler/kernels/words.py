"""Convolutions whose maps have several numbers in the room of a float: bytes, bf16.

The loops are those of conv_blocked.py: a word stands where a float does, four bytes or two numbers
of bf16, and one word is one step of a sum. The map of a picture, of up to four channels, has these
side by side. A unit is 32 outputs; weights are packed as [unit][tap][word][vector][16][channels].
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np

from convforge.compiler.kernels import conv_blocked
from convforge.compiler.kernels.conv_plan import ConvPlan, emit_taps, tile_cost
from convforge.compiler.kernels.family import FEW, LANES, Layer, Layout

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import DTypeLike, NDArray

    from convforge.compiler.c.writer import Writer
    from convforge.compiler.ir.graph import Array

PRELUDE = conv_blocked.PRELUDE + files(__package__).joinpath("words.c").read_text()
UNIT = 32  # outputs
_CHUNK_FLOATS = 96 * 1024  # as in conv_blocked.py


@dataclass(frozen=True)
class WordConv:
    """Sizes of a convolution of one group whose maps are of a layout of words."""

    layer: Layer
    layout: Layout

    @property
    def word(self) -> int:
        """Channels of a word."""
        return 4 // self.layout.number_bytes

    @property
    def channels(self) -> int:
        """Of the map that is read."""
        return self.layer.inputs[0][1]

    @cached_property
    def plan(self) -> ConvPlan:
        """How the map is read: floats stand for words."""
        blocks = -(-self.channels // self.layout.block)
        lanes = LANES if self.channels > FEW else FEW // self.word
        return ConvPlan(self.layer, lanes, blocks, _CHUNK_FLOATS)

    @property
    def vectors(self) -> int:
        """Of 16 outputs."""
        return -(-self.layer.output[1] // LANES)

    @property
    def units(self) -> int:
        """Of all chunks."""
        return self.plan.chunks * -(-self.vectors // 2)

    @cached_property
    def taps(self) -> list[tuple[int, int, int, int]]:
        """Row, column and first channel of every tap, and how many words it has."""
        rows, columns = self.plan.kernel
        return [
            (r, q, first, self._words(first))
            for first in range(0, self.channels, self.layout.block)
            for r in range(rows)
            for q in range(columns)
        ]

    def _words(self, first: int) -> int:
        if self.channels <= FEW:
            return FEW // self.word
        return -(-min(self.layout.block, self.channels - first) // self.word)

    @property
    def words(self) -> int:
        """In one sum."""
        return sum(words for *_place, words in self.taps)

    @property
    def cost(self) -> float:
        """Vector operations, a tile's way in and out included."""
        rows, columns = self.plan.size
        return rows * tile_cost(columns) * self.vectors * (self.words + 8)

    def weights(self, weight: NDArray[Any], dtype: DTypeLike) -> NDArray[Any]:
        """All [outputs, words, channels of a word], in whole vectors of outputs."""
        oc, ic, kh, kw = weight.shape
        shape = self.vectors * LANES, self.plan.blocks * self.layout.block, kh, kw
        padded = np.zeros(shape, dtype)
        padded[:oc, :ic] = weight
        parts = [
            padded[:, first : first + words * self.word, r, q] for r, q, first, words in self.taps
        ]
        return np.concatenate(parts, axis=1).reshape(len(padded), -1, self.word)

    def emit(
        self,
        out: Writer,
        *,
        kind: str,
        more: int,
        tile: Mapping[str, object],
        addend: str,
        fill: int = 0,
        ready: str = "NULL",
    ) -> None:
        """The layer's records and its call; tiles are cf_tile_KIND_…, of the record cf_KIND.

        `ready` is the function that makes ready what a tile takes of a unit besides weights.
        """
        plan = self.plan
        rows, columns = plan.size
        offsets = [
            (first // self.layout.block * plan.block + plan.offset(r, q), words)
            for r, q, first, words in self.taps
        ]
        emit_taps(out, "taps", offsets)
        sums = {
            ".sums.taps": "taps",
            ".sums.taps_count": len(self.taps),
            ".sums.weights": self.words * UNIT,
            ".sums.plane": math.prod(self.layer.output[2:]) * LANES,
        }
        sizes = {
            ".tile": "&tile.sums",
            ".ready": ready,
            ".tiles": f"{{CF_CUT({kind}_1, {plan.cut}), CF_CUT({kind}_2, {plan.cut})}}",
            ".step": plan.step,
            ".vectors": self.vectors,
            ".rows": rows,
            ".columns": columns,
            ".chunk": plan.chunk,
            ".wide": UNIT // self.word,
            ".more": more,
            ".pitch": plan.line,
            ".border.fill": fill,
            **plan.border(),
        }
        _emit_record(out, f"cf_{kind} tile", {**sums, **tile})
        _emit_record(out, "cf_conv_words conv", sizes)
        work = "workspace" if plan.workspace else "NULL"
        out.line(f"cf_conv_words_units(&conv, x0, w0, w1, {addend}, {work}, y, begin, end);")


def emit_filter(
    layer: Layer, out: Writer, *, kind: str, units: str, together: int, more: Mapping[str, object]
) -> None:
    """A depthwise layer's record cf_filter_KIND and its call, for `together` rows at once."""
    (_, _, kh, kw), (sh, sw) = layer.constants[0].shape, layer.numbers("stride")
    _, _, height, width = layer.inputs[0]
    top, left, _, _ = layer.numbers("padding")
    sizes = {
        ".height": height,
        ".width": width,
        ".top": top,
        ".left": left,
        ".rows": layer.output[2],
        ".columns": layer.output[3],
    }
    _emit_record(out, f"cf_filter_{kind} filter", {**sizes, **more})
    out.line(f"{units}(&filter, {kh}, {kw}, {sh}, {sw}, {together}, x0, w0, w1, y, begin, end);")


def emit_concat(layer: Layer, out: Writer, *, layout: Layout) -> None:
    """Channels of all inputs one behind the other, in one unit."""
    cells, size, first = math.prod(layer.output[2:]), layout.number_bytes, 0
    for i, shape in enumerate(layer.inputs):
        pixel = size * layout.side_by_side(shape[1])
        for start in range(0, shape[1], layout.block):
            count = size * min(layout.block, shape[1] - start)
            source = f"x{i} + {start // layout.block * cells * LANES}L"
            out.line(f"cf_put_channels({cells}, {pixel}, {count}, {first}, {source}, y);")
            first += count
    out.line("(void)begin;")
    out.line("(void)end;")


def _emit_record(out: Writer, name: str, fields: Mapping[str, object]) -> None:
    with out.block(f"static const {name} =", end="};"):
        for field, value in fields.items():
            out.line(f"{field} = {value},")


def as_floats(array: NDArray[np.generic]) -> Array:
    """The same bytes, as floats are stored."""
    return np.ascontiguousarray(array).reshape(-1).view(np.float32)
