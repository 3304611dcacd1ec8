"""A transpose of a transpose is one, or none.

    transpose(transpose(x, p), q) = transpose(x, p[q₀] p[q₁] …), which is x where that is 0 1 …

The first of the two stays where others read it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from convforge.compiler.ir.graph import Graph, Node


def merge_transposes(graph: Graph) -> Graph:
    """Merge transposes that follow each other, and drop those that nothing reads then."""
    nodes: dict[str, Node] = {}
    renamed: dict[str, str] = {}
    for old in graph.nodes:
        node = replace(old, inputs=tuple(renamed.get(name, name) for name in old.inputs))
        first = nodes.get(node.inputs[0])
        if node.op == "transpose" and first is not None and first.op == "transpose":
            perm = tuple(_perm(first)[axis] for axis in _perm(node))
            source = first.inputs[0]
            if perm == tuple(range(len(perm))):
                renamed[old.name] = source
                continue
            node = replace(node, inputs=(source,), attrs={"perm": perm})
        nodes[node.name] = node
    output = renamed.get(graph.output, graph.output)
    kept: list[Node] = []
    read = {output}
    for node in reversed(nodes.values()):
        if node.op != "transpose" or node.name in read:
            kept.append(node)
            read.update(node.inputs)
    return graph.rewritten(reversed(kept), constants=graph.constants, output=output)


def _perm(node: Node) -> tuple[int, ...]:
    perm = node.attrs["perm"]
    assert isinstance(perm, tuple)
    return perm
