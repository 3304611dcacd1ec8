"""Activations that exporters write as their parts are made whole again.

    x · sigmoid(x)                 silu(x)
    x · hard_sigmoid(x)            hard_swish(x)
    x · tanh(softplus(x))          mish(x)
    x · (erf(x / √2) + 1)          2 gelu(x)

also with a factor on either side, which stays. Neighbouring scales of one chain become one.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from convforge.compiler.ir.graph import Graph, Node
    from convforge.compiler.ir.ops import Step

    Steps = tuple[Step, ...]

GATES: dict[Steps, Step] = {
    (("sigmoid",),): ("silu",),
    (("hard_sigmoid",),): ("hard_swish",),
    (("softplus",), ("tanh",)): ("mish",),
}


def recognize_activations(graph: Graph) -> Graph:
    """The graph with such products as elementwise nodes; their parts stay where they are read."""
    nodes: dict[str, Node] = {}
    for node in graph.nodes:
        found = _activation(nodes, node) if node.op == "mul" else None
        nodes[node.name] = node
        if found is not None:
            whole = replace(node, op="elementwise", inputs=(found[0],), epilogue=found[1])
            nodes[node.name] = whole
    return graph.rewritten(nodes.values(), constants=graph.constants)


def merge_scales(graph: Graph) -> Graph:
    """The graph with chains of elementwise nodes as one, in which no two scales are neighbours."""
    nodes: dict[str, Node] = {}
    for node in graph.nodes:
        source = nodes.get(node.inputs[0])
        merged = node
        if (
            node.op == "elementwise"
            and source is not None
            and source.op == "elementwise"
            and graph.uses[source.name] == 1
        ):
            del nodes[source.name]
            steps = _normal(source.epilogue + node.epilogue)
            merged = replace(node, inputs=source.inputs, epilogue=steps)
        nodes[node.name] = merged
    return graph.rewritten(nodes.values(), constants=graph.constants)


def _activation(nodes: Mapping[str, Node], node: Node) -> tuple[str, Steps] | None:
    """What a product is a function of, and the steps that give it."""
    for x, gate in (node.inputs, node.inputs[::-1]):
        factors = dict(_chain(nodes, x))
        for origin, steps in _chain(nodes, gate):
            factor = _factor(factors.get(origin))
            found = _gated(steps) if steps and factor is not None else None
            if found is not None and factor is not None:
                step, scale = found
                return origin, _normal((step, ("affine", scale * factor, 0.0)))
    return None


def _chain(nodes: Mapping[str, Node], name: str) -> Iterator[tuple[str, Steps]]:
    """Values that a value is elementwise made from, itself first, with the steps that do it."""
    steps: Steps = ()
    yield name, steps
    while name in nodes and nodes[name].op == "elementwise":
        steps = _normal(nodes[name].epilogue + steps)
        name = nodes[name].inputs[0]
        yield name, steps


def _factor(steps: Steps | None) -> float | None:
    # None where the steps are more than one scale.
    if steps == ():
        return 1.0
    if steps is not None and len(steps) == 1 and steps[0][0] == "affine" and steps[0][2] == 0:
        return float(steps[0][1])
    return None


def _gated(steps: Steps) -> tuple[Step, float] | None:
    """The activation that x times these steps of x is, and its scale."""
    if steps in GATES:
        return GATES[steps], 1.0
    if [step[0] for step in steps] != ["affine", "erf", "affine"]:
        return None
    (_, scale, shift), _, (_, a, b) = steps
    if a != b or shift != 0 or not math.isclose(float(scale), math.sqrt(0.5), rel_tol=1e-6):
        return None
    return ("gelu",), 2 * float(a)


def _normal(steps: Steps) -> Steps:
    """The steps with neighbouring scales as one, and without those that change nothing."""
    result: list[Step] = []
    for step in steps:
        result.append(step)
        if [name for name, *_ in result[-2:]] == ["affine", "affine"]:
            (_, c, d), (_, a, b) = result.pop(), result.pop()
            result.append(("affine", float(a) * float(c), float(b) * float(c) + float(d)))
        if result[-1] == ("affine", 1.0, 0.0):
            result.pop()
    return tuple(result)
