"""A sum whose one side is a convolution that nothing else reads is done by the convolution.

    f(conv(x) + r) = conv2d_add(x, r) with the epilogue f

The end of every residual block. Only where the convolution has no epilogue of its own, and where
both sides have the result's shape. The convolution moves to where the sum is: the other side may be
computed after it was.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from convforge.compiler.ir.graph import Graph, Node


def fuse_addition(graph: Graph) -> Graph:
    """Turn sums with a convolution into convolutions with an addend."""
    fused: dict[str, Node] = {}
    gone: set[str] = set()
    for node in graph.nodes:
        conv = _convolution(graph, node) if node.op == "add" else None
        if conv is not None and conv.name not in gone:
            (addend,) = [name for name in node.inputs if name != conv.name]
            x, *parameters = conv.inputs
            fused[node.name] = replace(
                conv,
                name=node.name,
                op="conv2d_add",
                inputs=(x, addend, *parameters),
                epilogue=node.epilogue,
            )
            gone.add(conv.name)
    nodes = [fused.get(node.name, node) for node in graph.nodes if node.name not in gone]
    return graph.rewritten(nodes, constants=graph.constants)


def _convolution(graph: Graph, node: Node) -> Node | None:
    if any(
        name in graph.constants or graph.shapes[name] != graph.shapes[node.name]
        for name in node.inputs
    ):
        return None
    sides = (graph.producers.get(name) for name in node.inputs)
    return next((side for side in sides if side is not None and _takes_a_sum(graph, side)), None)


def _takes_a_sum(graph: Graph, node: Node) -> bool:
    return node.op == "conv2d" and not node.epilogue and graph.uses[node.name] == 1
