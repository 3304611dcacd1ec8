"""The self-test of an artifact: an input that both sides can make, and the model's own answer.

The input is made from MurmurHash3's finaliser of a counter, here and in artifact.c alike: of a
classifier it is an image of WIDTH x HEIGHT noisy pixels, which goes through the preprocessing too;
of a bare network it is numbers from -1 to 1. At most MOST of the outputs are kept, evenly spaced.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from convforge.card import Card
    from convforge.compiler.ir.graph import Array, Shape

SEED = 0x636F6E76
WIDTH, HEIGHT = 61, 47
MOST = 4096
# Of the largest output: ten times what the order of additions in float32 costs a deep network; a
# kernel that is wrong is off by its size.
TOLERANCE = 1e-4
# The same where weights were rounded to float16, which costs efficientnet_lite0 half of it.
ROUNDED_TOLERANCE = 2e-3
# Of what values that are rounded are off in numpy: another order of sums rounds others of them up.
MARGIN = 4


@dataclass(frozen=True)
class SelfTest:
    """The outputs at 0, `stride`, 2 · `stride`, …; `limit` is how far off each may be."""

    expected: Array
    stride: int
    limit: float


def make_selftest(
    model: Callable[[Array], Array],
    input_shape: Shape,
    card: Card | None = None,
    *,
    tolerance: float = TOLERANCE,
    rounded: Callable[[Array], Array] | None = None,
) -> SelfTest:
    """Ask a model, a function from float32 input to output, for its answer.

    `rounded` is the same with values rounded on the way, where they are: MARGIN times what that is
    off may be too.
    """
    given = make_input(input_shape, card)
    outputs = model(given).astype(np.float32).reshape(-1)
    stride = -(-outputs.size // MOST)
    finite = np.isfinite(outputs)
    limit = tolerance * float(np.abs(outputs[finite]).max(initial=0.0))
    if rounded is not None:
        off = np.abs(rounded(given).reshape(-1) - outputs)[finite]
        limit = max(limit, MARGIN * float(off.max(initial=0.0)))
    return SelfTest(outputs[::stride], stride, limit)


def make_input(input_shape: Shape, card: Card | None) -> Array:
    """What the network gets in the self-test, float32."""
    if card is not None:
        pixels = (_bits(HEIGHT * WIDTH * 3) >> 24).astype(np.uint8)
        return card.preprocess(pixels.reshape(HEIGHT, WIDTH, 3))[None]
    numbers = (_bits(math.prod(input_shape)) >> 8).astype(np.float32)
    return (numbers * np.float32(2**-23) - np.float32(1)).reshape(input_shape)


def _bits(count: int) -> np.ndarray[tuple[int], np.dtype[np.uint32]]:
    x = np.arange(count, dtype=np.uint32) + np.uint32(SEED)
    x = (x ^ x >> np.uint32(16)) * np.uint32(0x85EBCA6B)
    x = (x ^ x >> np.uint32(13)) * np.uint32(0xC2B2AE35)
    return x ^ x >> np.uint32(16)
