"""Padding with zeros before a convolution becomes the convolution's own padding.

    conv(pad(x, p), padding q) = conv(x, padding p + q)

Only for zeros, and only where the convolution is the one reader. Networks whose weights were
trained with TensorFlow's asymmetric "same" padding are written with an explicit pad.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from convforge.compiler.ir.graph import Graph, Node


def fold_padding(graph: Graph) -> Graph:
    """Merge pad nodes of zeros into the convolution that reads them."""
    folded: set[str] = set()
    nodes: list[Node] = []
    for node in graph.nodes:
        pad = graph.producers.get(node.inputs[0])
        if node.op == "conv2d" and pad is not None and _foldable(graph, pad):
            folded.add(pad.name)
            amounts = zip(_ints(pad, "padding"), _ints(node, "padding"), strict=True)
            attrs = {**node.attrs, "padding": tuple(p + q for p, q in amounts)}
            nodes.append(replace(node, inputs=(pad.inputs[0], *node.inputs[1:]), attrs=attrs))
        else:
            nodes.append(node)
    kept = [node for node in nodes if node.name not in folded]
    return graph.rewritten(kept, constants=graph.constants)


def _foldable(graph: Graph, node: Node) -> bool:
    if node.op != "pad" or node.attrs["fill"] != 0 or node.attrs["channels"] != (0, 0):
        return False
    return not node.epilogue and graph.uses[node.name] == 1


def _ints(node: Node, key: str) -> tuple[int, ...]:
    value = node.attrs[key]
    assert isinstance(value, tuple)
    return value
