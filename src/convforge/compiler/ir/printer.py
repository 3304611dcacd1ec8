"""The graph as text, one node a line; the same graph gives the same text."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from convforge.compiler.ir.graph import Graph, Node
    from convforge.compiler.ir.ops import Attr, Shape, Step

_MOST = 8  # numbers of an attribute; of longer ones the rest is left out


def print_graph(graph: Graph) -> str:
    """Lines `name = op(inputs) attributes ; between | epilogue : shape`; constants have theirs."""
    lines = [f"{graph.input} : {_shape(graph.input_shape)}"]
    lines += [_node(graph, node) for node in graph.nodes]
    lines.append(f"return {graph.output}")
    return "\n".join(lines) + "\n"


def _node(graph: Graph, node: Node) -> str:
    inputs = ", ".join(
        f"{name}[{_shape(graph.shapes[name])}]" if name in graph.constants else name
        for name in node.inputs
    )
    attrs = "".join(f" {key}={_attr(node.attrs[key])}" for key in sorted(node.attrs))
    between = "".join(f" ; {_step(step)}" for step in node.between)
    epilogue = "".join(f" | {_step(step)}" for step in node.epilogue)
    shape = _shape(graph.shapes[node.name])
    return f"{node.name} = {node.op}({inputs}){attrs}{between}{epilogue} : {shape}"


def _shape(shape: Shape) -> str:
    return "x".join(map(str, shape))


def _attr(value: Attr) -> str:
    if not isinstance(value, tuple):
        return f"{value:g}"
    if len(value) <= _MOST:
        return ",".join(map(str, value))
    return f"{','.join(map(str, value[:_MOST]))},…({len(value)})"


def _step(step: Step) -> str:
    return " ".join([str(step[0]), *(f"{value:.9g}" for value in step[1:])])
