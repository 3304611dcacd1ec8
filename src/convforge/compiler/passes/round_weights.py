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
    from convforge.compiler.ir.graph import Array, Graph

FEWEST = 32  # products of a sum
_LARGEST = float(np.finfo(np.float16).max)


def round_weights(graph: Graph) -> Graph:
    """Round to float16 whatever constant only sums of many products read."""
    others = {name for node in graph.nodes for name in node.inputs[2:]}
    others |= {name for node in graph.nodes if not _sums(graph, node.name) for name in node.inputs}
    rounded = {
        name: array if name in others else _rounded(array)
        for name, array in graph.constants.items()
    }
    return graph.rewritten(graph.nodes, constants=rounded)


def _sums(graph: Graph, name: str) -> bool:
    """Whether a node's second input is weights of sums that are long enough."""
    node = graph.producers[name]
    if node.op not in {"conv2d", "linear"} or node.inputs[1] not in graph.constants:
        return False
    return math.prod(graph.shapes[node.inputs[1]][1:]) >= FEWEST


def _rounded(array: Array) -> Array:
    if float(np.abs(array).max(initial=0.0)) > _LARGEST:
        return array
    return array.astype(np.float16).astype(np.float32)
