"""What is done to every element of a result is done before it is stored.

    elementwise(f(x)) = f with the steps appended to its epilogue

Only where nothing else reads the value in between. A scale_shift whose scale is one number and
whose shift is one number is such a step too (`affine`). What only moves values takes no epilogue.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from convforge.compiler.ir import ops

if TYPE_CHECKING:
    from convforge.compiler.ir.graph import Graph, Node
    from convforge.compiler.ir.ops import Step


def fuse_epilogue(graph: Graph) -> Graph:
    """Append elementwise nodes to the epilogue of what feeds them."""
    nodes: dict[str, Node] = {}
    renamed: dict[str, str] = {}
    for old in graph.nodes:
        node = replace(old, inputs=tuple(renamed.get(name, name) for name in old.inputs))
        steps = _steps(graph, node)
        source = nodes.get(node.inputs[0])
        if (
            steps is not None
            and source is not None
            and source.op not in ops.WITHOUT_EPILOGUE
            and graph.uses[old.inputs[0]] == 1
        ):
            nodes[source.name] = replace(source, epilogue=source.epilogue + steps)
            renamed[old.name] = source.name
        else:
            nodes[node.name] = node
    output = renamed.get(graph.output, graph.output)
    return graph.rewritten(nodes.values(), constants=graph.constants, output=output)


def _steps(graph: Graph, node: Node) -> tuple[Step, ...] | None:
    if node.op == "elementwise":
        return node.epilogue
    if node.op != "scale_shift":
        return None
    scale, shift = (graph.constants[name] for name in node.inputs[1:])
    if np.all(scale == scale[0]) and np.all(shift == shift[0]):
        return (("affine", float(scale[0]), float(shift[0])), *node.epilogue)
    return None
