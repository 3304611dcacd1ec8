"""What an operation costs: its multiply-adds."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from convforge.compiler.ir.graph import Shape


def macs(op: str, *, image: Shape, weights: Sequence[Shape], output: Shape) -> int:
    """Multiply-adds of a node: of convolutions and linear layers, as papers count; others none.

    `image` is the shape of its first input, `weights` those of its constants.
    """
    if op == "conv2d_pair":
        mix, _, filters, _ = weights
        between = image[0] * math.prod(image[2:]) * math.prod(mix)
        return between + math.prod(output) * math.prod(filters[1:])
    if op not in {"conv2d", "conv2d_add", "linear"}:
        return 0
    # Each output is the sum over one row of the weight: [OC, IC / groups, KH, KW] or [OF, IF].
    return math.prod(output) * math.prod(weights[0][1:])
