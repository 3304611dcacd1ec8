"""A depthwise convolution computes the convolution that it reads, where nothing else does.

    depthwise(f(conv(x))) = conv2d_pair(x) with f between

where the first one is pointwise, or that of the network's first layer: the beginning of an inverted
residual, MobileNet's layers from one block to the next, a stem. Any other convolution has faster
kernels of its own. Without bias a convolution has one of zeros. Strides beyond 2 are left alone.
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
_WINDOW = ("stride", "dilation", "padding")


def fuse_pair(graph: Graph) -> Graph:
    """Turn pairs of a pointwise and a depthwise convolution into one node."""
    constants = dict(graph.constants)
    nodes: dict[str, Node] = {}
    for node in graph.nodes:
        first = nodes.get(node.inputs[0])
        if (
            first is None
            or graph.uses[first.name] > 1
            or not _mixes(graph, first)
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
            attrs={
                **{key: node.attrs[key] for key in _WINDOW},
                **{f"mix_{key}": first.attrs[key] for key in _WINDOW},
            },
            between=first.epilogue,
        )
    return graph.rewritten(nodes.values(), constants=constants)


def _mixes(graph: Graph, node: Node) -> bool:
    if node.op != "conv2d" or node.attrs["groups"] != 1:
        return False
    pointwise = dict(node.attrs) == POINTWISE and graph.shapes[node.inputs[1]][2:] == (1, 1)
    return pointwise or node.inputs[0] == graph.input


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
