"""What an operation costs: its multiply-adds."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from convforge.compiler.ir.graph import Shape


_PRODUCTS = {"conv2d", "conv2d_add", "linear", "conv2d_int8", "conv2d_add_int8", "linear_int8"}


def macs(op: str, *, weight: Shape, output: Shape) -> int:
    """Multiply-adds of a node: of convolutions and linear layers, as papers count; others none.

    `weight` is the shape of its first constant, () where it has none. A pair of convolutions is
    asked about one by one.
    """
    if op not in _PRODUCTS:
        return 0
    # Each output is the sum over one row of the weight: [OC, IC / groups, KH, KW] or [OF, IF].
    return math.prod(output) * math.prod(weight[1:])
