"""Weights are rounded to float16, so that they can be kept in half the bytes.

Only those of convolutions and linear layers that sum at least FEWEST products: their errors are
independent and average out. Biases and the weights of depthwise convolutions are few and their
errors are not; rounding them too costs efficientnet_lite0 two thirds of its agreement.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convforge.compiler.ir.graph import Array, Graph, Node

FEWEST = 32  # products of a sum
_WEIGHT = {
    "conv2d": 1,
    "conv2d_add": 2,
    "conv2d_pair": 1,
    "linear": 1,
}  # place among the inputs, by the operation
_LARGEST = float(np.finfo(np.float16).max)


def round_weights(graph: Graph) -> Graph:
    """Round to float16 whatever constant only sums of many products read."""
    others = {name for node in graph.nodes for name in _others(graph, node)}
    rounded = {
        name: array if name in others else _rounded(array)
        for name, array in graph.constants.items()
    }
    return graph.rewritten(graph.nodes, constants=rounded)


def _others(graph: Graph, node: Node) -> Iterator[str]:
    """What a node reads but weights of sums that are long enough."""
    for position, name in enumerate(node.inputs):
        is_weight = position == _WEIGHT.get(node.op)
        if not is_weight or math.prod(graph.shapes[name][1:]) < FEWEST:
            yield name


def _rounded(array: Array) -> Array:
    if float(np.abs(array).max(initial=0.0)) > _LARGEST:
        return array
    return array.astype(np.float16).astype(np.float32)
