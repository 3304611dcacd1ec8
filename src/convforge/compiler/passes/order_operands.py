"""Of two operands the constant is the second.

    c + x = x + c        c · x = x · c
    c - x = -x + c       c / x = 1/x · c

so that kernels and other passes need to look for it in one place only.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from convforge.compiler.ir.graph import Node, unused_name

if TYPE_CHECKING:
    from convforge.compiler.ir.graph import Graph
    from convforge.compiler.ir.ops import Step

# operation: what it becomes, and what is done to x before
_SWAPPED: dict[str, tuple[str, tuple[Step, ...]]] = {
    "add": ("add", ()),
    "mul": ("mul", ()),
    "sub": ("add", (("affine", -1.0, 0.0),)),
    "div": ("mul", (("reciprocal",),)),
}


def order_operands(graph: Graph) -> Graph:
    """Swap the operands of sums, differences, products and quotients whose first is a constant."""
    nodes: list[Node] = []
    for node in graph.nodes:
        if node.op not in _SWAPPED or node.inputs[0] not in graph.constants:
            nodes.append(node)
            continue
        constant, x = node.inputs
        op, steps = _SWAPPED[node.op]
        if steps:
            taken = {*graph.shapes, *(other.name for other in nodes)}
            before = Node(
                unused_name(f"{node.name}.{node.op}", taken), "elementwise", (x,), {}, steps
            )
            nodes.append(before)
            x = before.name
        nodes.append(replace(node, op=op, inputs=(x, constant)))
    return graph.rewritten(nodes, constants=graph.constants)
