"""Convolution of bytes: any kernel, stride, padding and dilation, of one group.

    y = clip(rounded(Σ W · x + bias)), the scales of ir/reference_int8.py

The loops are those of conv_blocked.py; 64 channels of a pixel take the place of 16 floats, and four
of them are one step of a sum. The map of a picture, of up to four channels, is one word a pixel.
Weights are packed as [unit of 32 outputs][tap][four channels][vector][16 outputs][4].
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from typing import TYPE_CHECKING

import numpy as np

from convforge.compiler.kernels import conv_blocked
from convforge.compiler.kernels.conv_plan import ConvPlan, emit_taps, tile_cost
from convforge.compiler.kernels.family import BYTES, LANES, Kernel, Layer, Layout

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from convforge.compiler.c.writer import Writer
    from convforge.compiler.ir.graph import Array
    from convforge.compiler.kernels.family import Layouts

OPS = frozenset({"conv2d_int8", "conv2d_add_int8"})
PRELUDE = conv_blocked.PRELUDE + files(__package__).joinpath("int8.c").read_text()
_CHUNK_FLOATS = 96 * 1024  # as in conv_blocked.py
_WORD = 4  # channels
# Outputs of the two vectors of a unit, one behind the other.
_ORDER = np.arange(32).reshape(4, 2, 4).transpose(1, 0, 2).reshape(32)


@dataclass(frozen=True)
class _Conv:
    layer: Layer

    @cached_property
    def plan(self) -> ConvPlan:
        """How the map is read: floats stand for words."""
        channels = self.layer.inputs[0][1]
        lanes, blocks = (LANES, -(-channels // BYTES)) if channels > _WORD else (1, 1)
        return ConvPlan(self.layer, lanes, blocks, _CHUNK_FLOATS)

    @property
    def vectors(self) -> int:
        """Of 16 outputs."""
        return -(-self.layer.output[1] // LANES)

    @cached_property
    def taps(self) -> list[tuple[int, int, int, int]]:
        """Row, column and first channel of every tap, and how many words it has."""
        channels = self.layer.inputs[0][1]
        rows, columns = self.plan.kernel
        return [
            (r, q, block * BYTES, -(-min(BYTES, channels - block * BYTES) // _WORD))
            for block in range(self.plan.blocks)
            for r in range(rows)
            for q in range(columns)
        ]

    @property
    def words(self) -> int:
        """In one sum."""
        return sum(words for *_place, words in self.taps)

    @property
    def more(self) -> int:
        """Floats that follow the weights of a unit."""
        return (32 + 32 + 16) + 64 * looked_up(self.layer)

    def table(self) -> list[tuple[int, int]]:
        """(offset, count) of every tap."""
        plan = self.plan
        return [
            (channel // BYTES * plan.block + plan.offset(r, q), words)
            for r, q, channel, words in self.taps
        ]


def looked_up(layer: Layer) -> bool:
    """Whether the layer has a table."""
    return layer.constants[-1].shape == (256,) and len(layer.constants) == 5


def largest(layer: Layer) -> int:
    """The largest byte of the result, before it is looked up."""
    return 255 if looked_up(layer) else layer.number("top")


def _refuses(layer: Layer) -> str | None:
    if layer.node.op not in OPS:
        return "not a convolution of bytes"
    return None if layer.number("groups") == 1 else "more than one group"


def _layouts(layer: Layer) -> tuple[Layouts, ...]:
    return ((Layout.BYTES,) * (len(layer.inputs) + 1),)


def _cost(layer: Layer) -> float:
    conv = _Conv(layer)
    rows, columns = conv.plan.size
    return rows * tile_cost(columns) * conv.vectors * (conv.words + 8)


def _pack(layer: Layer) -> tuple[Array, ...]:
    conv = _Conv(layer)
    weight, bias, multiplier, shift, *table = layer.constants
    oc, ic, kh, kw = weight.shape
    blocks = conv.plan.blocks
    padded = np.zeros((conv.vectors * LANES, blocks * BYTES, kh, kw), np.int8)
    padded[:oc, :ic] = weight
    taps = [
        padded[:, channel : channel + words * _WORD, r, q] for r, q, channel, words in conv.taps
    ]
    words = np.concatenate(taps, axis=1).reshape(len(padded), -1, _WORD)
    weights, more = [], []
    for first in range(0, len(padded), 32):
        order = _ORDER if first + 32 <= len(padded) else np.arange(16)
        outputs = first + order
        unit = words[outputs].reshape(-1, LANES, conv.words, _WORD).transpose(2, 0, 1, 3)
        weights.append(np.ascontiguousarray(unit).reshape(-1))
        more.append(
            _parameters(
                _some(bias, outputs), _some(multiplier, outputs), _some(shift, outputs), table
            )
        )
    return as_floats(np.concatenate(weights)), np.concatenate(more)


def _some(array: Array, outputs: NDArray[np.int64]) -> NDArray[np.int64]:
    """A parameter of these outputs, 0 for those that no channel has."""
    whole = np.zeros(max(len(array), int(outputs.max()) + 1), np.int64)
    whole[: len(array)] = array
    return whole[outputs]


def _parameters(
    bias: NDArray[np.int64],
    multiplier: NDArray[np.int64],
    shift: NDArray[np.int64],
    table: list[Array],
) -> Array:
    """What follows the weights of a unit, as in int8.c."""
    words = np.zeros((2, 32), np.int32)
    words[0, : len(bias)], words[1, : len(shift)] = bias, shift
    # Two vectors of sums, packed: four of the one, four of the other.
    both = multiplier if len(multiplier) == 32 else np.concatenate([multiplier, multiplier])
    shorts = both.reshape(2, 4, 4).transpose(1, 0, 2).astype(np.int16)
    parts = [as_floats(words), as_floats(np.ascontiguousarray(shorts))]
    parts += [as_floats(array.astype(np.uint8)) for array in table]
    return np.concatenate(parts)


def as_floats(array: NDArray[np.generic]) -> Array:
    """The same bytes, as floats are stored."""
    return np.ascontiguousarray(array).reshape(-1).view(np.float32)


def _emit(layer: Layer, out: Writer) -> None:
    conv = _Conv(layer)
    plan = conv.plan
    rows, columns = plan.size
    emit_taps(out, "taps", conv.table())
    sizes = {
        ".tile.sums.taps": "taps",
        ".tile.sums.taps_count": len(conv.taps),
        ".tile.sums.weights": conv.words * 32,
        ".tile.sums.plane": math.prod(layer.output[2:]) * LANES,
        ".tile.addend": layer.node.attrs.get("addend", 0),
        ".tile.found": int(looked_up(layer)),
        ".tile.largest": largest(layer),
        ".tiles": f"{{CF_CUT(int8_1, {plan.cut}), CF_CUT(int8_2, {plan.cut})}}",
        ".step": plan.step,
        ".vectors": conv.vectors,
        ".rows": rows,
        ".columns": columns,
        ".chunk": plan.chunk,
        ".more": conv.more,
        ".pitch": plan.line,
        ".border.fill": layer.number("zero_in"),
        **plan.border(),
    }
    with out.block("static const cf_conv_int8 conv =", end="};"):
        for name, value in sizes.items():
            out.line(f"{name} = {value},")
    addend = "x1" if layer.node.op == "conv2d_add_int8" else "NULL"
    work = "workspace" if plan.workspace else "NULL"
    out.line(f"cf_conv_int8_units(&conv, x0, w0, w1, {addend}, {work}, y, begin, end);")


KERNEL = Kernel(
    "conv_int8",
    refuses=_refuses,
    cost=_cost,
    pack=_pack,
    emit=_emit,
    layouts=_layouts,
    workspace=lambda layer: _Conv(layer).plan.workspace,
    units=lambda layer: _Conv(layer).plan.chunks * -(-_Conv(layer).vectors // 2),
    prelude=PRELUDE
    + files(__package__).joinpath("conv_int8_web.c").read_text()
    + files(__package__).joinpath("conv_int8.c").read_text(),
)
