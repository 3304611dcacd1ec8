"""What changes nothing goes: its readers read what it read.

slice of a whole axis, reshape to the same shape, transpose into the same order, concatenation
of one value, padding by nothing, no step at all:    f(x) = x
slice(concat(…, x, …)) = x    where the slice is the place of x
transpose(x) = reshape(x)     where only axes of one place move
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from convforge.compiler.ir.graph import Graph, Node


def remove_identities(graph: Graph) -> Graph:
    """Drop the nodes that give a value that is there already."""
    renamed: dict[str, str] = {}
    nodes: dict[str, Node] = {}
    for old in graph.nodes:
        node = replace(old, inputs=tuple(renamed.get(name, name) for name in old.inputs))
        same = _same_value(graph, node, nodes)
        if same is None:
            nodes[node.name] = _as_reshape(graph, node)
        else:
            renamed[old.name] = same
    output = renamed.get(graph.output, graph.output)
    # A concatenation that was only sliced is read no more.
    read = {output, *(name for node in nodes.values() for name in node.inputs)}
    kept = [node for node in nodes.values() if node.op != "concat" or node.name in read]
    return graph.rewritten(kept, constants=graph.constants, output=output)


def _same_value(graph: Graph, node: Node, nodes: dict[str, Node]) -> str | None:
    """Name of the value that a node gives again."""
    source = node.inputs[0]
    if node.op == "slice" and graph.shapes[node.name] != graph.shapes[source]:
        return _sliced_part(graph, node, nodes.get(source))
    changes = {
        "slice": False,
        "reshape": graph.shapes[node.name] != graph.shapes[source],
        "transpose": node.attrs.get("perm") != tuple(range(len(graph.shapes[source]))),
        "concat": len(node.inputs) > 1,
        "pad": graph.shapes[node.name] != graph.shapes[source],
        "elementwise": bool(node.epilogue),
    }
    return None if changes.get(node.op, True) else source


def _sliced_part(graph: Graph, node: Node, source: Node | None) -> str | None:
    axis, start, stop = (node.attrs[key] for key in ("axis", "start", "stop"))
    if source is None or source.op != "concat" or source.attrs["axis"] != axis:
        return None
    assert isinstance(axis, int)
    first = 0
    for part in source.inputs:
        last = first + graph.shapes[part][axis]
        if (first, last, 1) == (start, stop, node.attrs["step"]):
            return part
        first = last
    return None


def _as_reshape(graph: Graph, node: Node) -> Node:
    if node.op != "transpose":
        return node
    shape, perm = graph.shapes[node.inputs[0]], node.attrs["perm"]
    assert isinstance(perm, tuple)
    long = [axis for axis in perm if shape[axis] > 1]
    if long != sorted(long):
        return node
    return replace(node, op="reshape", attrs={"shape": graph.shapes[node.name]})
