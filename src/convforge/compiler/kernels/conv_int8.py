"""Convolution of bytes: any kernel, stride, padding and dilation, of one group.

    y = clip(rounded(Σ W · x + bias)), the scales of ir/reference_int8.py

Its loops are in words.py: four channels are one step of a sum.
"""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

import numpy as np

from convforge.compiler.kernels import words
from convforge.compiler.kernels.family import LANES, Kernel, Layer, Layout
from convforge.compiler.kernels.words import UNIT, WordConv, as_floats

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from convforge.compiler.c.writer import Writer
    from convforge.compiler.ir.graph import Array
    from convforge.compiler.kernels.family import Layouts

OPS = frozenset({"conv2d_int8", "conv2d_add_int8"})
PRELUDE = words.PRELUDE + files(__package__).joinpath("int8.c").read_text()
# Outputs of the two vectors of a unit, one behind the other.
_ORDER = np.arange(32).reshape(4, 2, 4).transpose(1, 0, 2).reshape(32)


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


def _conv(layer: Layer) -> WordConv:
    return WordConv(layer, Layout.BYTES)


def _pack(layer: Layer) -> tuple[Array, ...]:
    conv = _conv(layer)
    weight, bias, multiplier, shift, *table = layer.constants
    numbers = conv.weights(weight, np.int8)
    weights, more = [], []
    for first in range(0, len(numbers), UNIT):
        order = _ORDER if first + UNIT <= len(numbers) else np.arange(LANES)
        outputs = first + order
        unit = numbers[outputs].reshape(-1, LANES, conv.words, conv.word).transpose(2, 0, 1, 3)
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


def _emit(layer: Layer, out: Writer) -> None:
    found = looked_up(layer)
    _conv(layer).emit(
        out,
        kind="int8",
        more=(32 + 32 + 16) + 64 * found,
        tile={
            ".addend": layer.node.attrs.get("addend", 0),
            ".found": int(found),
            ".largest": largest(layer),
        },
        ready="CF_INT8_READY",
        addend="x1" if layer.node.op == "conv2d_add_int8" else "NULL",
        fill=layer.number("zero_in"),
    )


KERNEL = Kernel(
    "conv_int8",
    refuses=_refuses,
    cost=lambda layer: _conv(layer).cost,
    pack=_pack,
    emit=_emit,
    layouts=_layouts,
    workspace=lambda layer: _conv(layer).plan.workspace,
    units=lambda layer: _conv(layer).units,
    prelude=PRELUDE
    + files(__package__).joinpath("conv_int8_web.c").read_text()
    + files(__package__).joinpath("conv_int8.c").read_text(),
)
