"""A depthwise convolution computes the pointwise one that it reads, where nothing else does.

    depthwise(f(conv(x, 1x1))) = conv2d_pair(x) with f between

The first two layers of an inverted residual, and MobileNet's layers from one block to the next.
Without bias a convolution has one of zeros. Strides beyond 2 are left alone.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from convforge.compiler.ir.graph import unused_name
from convforge.compiler.ir.ops import POINTWISE

if TYPE_CHECKING:
    from convforge.compiler.ir.graph import Array, Graph, Node

_LONGEST_STRIDE = 2


def fuse_pair(graph: Graph) -> Graph:
    """Turn pairs of a pointwise and a depthwise convolution into one node."""
    constants = dict(graph.constants)
    nodes: dict[str, Node] = {}
    for node in graph.nodes:
        first = nodes.get(node.inputs[0])
        if (
            first is None
            or graph.uses[first.name] > 1
            or not _is_pointwise(graph, first)
            or not _is_depthwise(graph, node)
        ):
            nodes[node.name] = node
            continue
        del nodes[first.name]
        parameters = [
            name for layer in (first, node) for name in _parameters(graph, layer, constants)
        ]
        nodes[node.name] = replace(
            node,
            op="conv2d_pair",
            inputs=(first.inputs[0], *parameters),
            attrs={key: node.attrs[key] for key in ("stride", "dilation", "padding")},
            between=first.epilogue,
        )
    return graph.rewritten(nodes.values(), constants=constants)


def _is_pointwise(graph: Graph, node: Node) -> bool:
    if node.op != "conv2d" or dict(node.attrs) != POINTWISE:
        return False
    return graph.shapes[node.inputs[1]][2:] == (1, 1)


def _is_depthwise(graph: Graph, node: Node) -> bool:
    if node.op != "conv2d":
        return False
    stride, channels = node.attrs["stride"], graph.shapes[node.name][1]
    assert isinstance(stride, tuple)
    return node.attrs["groups"] == channels == graph.shapes[node.inputs[0]][1] and (
        max(stride) <= _LONGEST_STRIDE
    )


def _parameters(graph: Graph, node: Node, constants: dict[str, Array]) -> tuple[str, str]:
    _, weight, *bias = node.inputs
    if bias:
        return weight, bias[0]
    name = unused_name(f"{node.name}.bias", {*graph.shapes, *constants})
    constants[name] = np.zeros(graph.shapes[node.name][1], np.float32)
    return weight, name
