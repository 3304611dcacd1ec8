"""BatchNorm with fixed statistics is a scale and a shift a channel.

    (x - mean) / √(variance + eps) · gamma + beta  =  x · s + (beta - mean · s),
    s = gamma / √(variance + eps)

Computed in float64. Source: Ioffe & Szegedy 2015, Algorithm 2, step 11.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from convforge.compiler.ir.graph import unused_name

if TYPE_CHECKING:
    from convforge.compiler.ir.graph import Array, Graph, Node


def fold_batch_norm(graph: Graph) -> Graph:
    """Turn every batch_norm into a scale_shift."""
    constants = dict(graph.constants)
    nodes = [
        _fold(node, constants, taken={*graph.shapes, *constants})
        if node.op == "batch_norm"
        else node
        for node in graph.nodes
    ]
    return graph.rewritten(nodes, constants=constants)


def _fold(node: Node, constants: dict[str, Array], *, taken: set[str]) -> Node:
    gamma, beta, mean, variance = (constants[name].astype(np.float64) for name in node.inputs[1:])
    eps = node.attrs["eps"]
    assert isinstance(eps, float)
    scale = gamma / np.sqrt(variance + eps)
    names = tuple(unused_name(f"{node.name}.{part}", taken) for part in ("scale", "shift"))
    constants[names[0]] = scale.astype(np.float32)
    constants[names[1]] = (beta - mean * scale).astype(np.float32)
    return replace(node, op="scale_shift", inputs=(node.inputs[0], *names), attrs={})
