"""A transpose before an operation that can work in another order of axes is done after it.

    layer_norm(xᵀ, axis i) = layer_norm(x, axis perm[i])ᵀ      softmax likewise
    f(xᵀ) = f(x)ᵀ                                              for steps of every element
    linear(xᵀ) = conv2d(x, 1x1)ᵀ                               where channels became the last axis

Only where nothing else reads the transposed value. Networks that normalise or multiply channels as
the last axis (ConvNeXt's blocks) transpose there and back; here the two meet (merge_transposes).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from convforge.compiler.ir.graph import unused_name
from convforge.compiler.ir.ops import POINTWISE

if TYPE_CHECKING:
    from convforge.compiler.ir.graph import Array, Graph, Node


def sink_transposes(graph: Graph) -> Graph:
    """Move transposes behind what they feed, as far as they go.

    The operation keeps its name and the transpose its own, so a reader of the operation reads the
    transpose now.
    """
    constants = dict(graph.constants)
    nodes: dict[str, Node] = {}
    renamed: dict[str, str] = {}
    for old in graph.nodes:
        node = replace(old, inputs=tuple(renamed.get(name, name) for name in old.inputs))
        transpose = nodes.get(node.inputs[0])
        if transpose is None or transpose.op != "transpose" or graph.uses[old.inputs[0]] > 1:
            nodes[node.name] = node
            continue
        perm = transpose.attrs["perm"]
        assert isinstance(perm, tuple)
        before = _before(node, perm, constants, taken={*graph.shapes, *constants})
        if before is None:
            nodes[node.name] = node
            continue
        del nodes[transpose.name]
        nodes[node.name] = replace(before, inputs=(transpose.inputs[0], *before.inputs[1:]))
        nodes[transpose.name] = replace(transpose, inputs=(node.name,))
        renamed[old.name] = transpose.name
    output = renamed.get(graph.output, graph.output)
    return graph.rewritten(nodes.values(), constants=constants, output=output)


def _before(
    node: Node, perm: tuple[int, ...], constants: dict[str, Array], *, taken: set[str]
) -> Node | None:
    """What the node is before the transpose; None where it can't be."""
    if node.op == "elementwise":
        return node
    if node.op in {"layer_norm", "softmax"}:
        axis = node.attrs["axis"]
        assert isinstance(axis, int)
        return replace(node, attrs={**node.attrs, "axis": perm[axis]})
    if node.op == "linear" and len(perm) == 4 and perm[-1] == 1:
        name = unused_name(f"{node.name}.kernel", taken)
        constants[name] = constants[node.inputs[1]][:, :, None, None]
        inputs = (node.inputs[0], name, *node.inputs[2:])
        return replace(node, op="conv2d", inputs=inputs, attrs=POINTWISE)
    return None
