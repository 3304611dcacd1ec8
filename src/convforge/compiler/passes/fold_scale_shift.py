"""A scale and shift that follows a convolution, a linear layer or another one is folded into it.

    (W x + b) · s + t      =  (s W) x + (b · s + t)
    (x · s₁ + t₁) · s + t  =  x · (s₁ · s) + (t₁ · s + t)

Only where nothing else reads the value in between and nothing (an epilogue) stands between the two,
and behind a linear layer only where it gives vectors [N, F]: else its outputs are not the channels.
Computed in float64.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from convforge.compiler.ir.graph import unused_name

if TYPE_CHECKING:
    from convforge.compiler.ir.graph import Array, Graph, Node


def fold_scale_shift(graph: Graph) -> Graph:
    """Fold scale_shift nodes into what feeds them; chains fold from the front to the back."""
    constants = dict(graph.constants)
    nodes: list[Node] = []
    renamed: dict[str, str] = {}
    by_name: dict[str, int] = {}
    for old in graph.nodes:
        node = replace(old, inputs=tuple(renamed.get(name, name) for name in old.inputs))
        position = by_name.get(node.inputs[0], -1)
        source = nodes[position] if position >= 0 else None
        if (
            node.op == "scale_shift"
            and source is not None
            and source.op in {"conv2d", "linear", "scale_shift"}
            and (source.op != "linear" or len(graph.shapes[old.name]) == 2)
            and not source.epilogue
            and graph.uses[old.inputs[0]] == 1
        ):
            taken = {*graph.shapes, *constants}
            nodes[position] = _merge(source, node, constants, taken=taken)
            renamed[old.name] = source.name
            continue
        by_name[node.name] = len(nodes)
        nodes.append(node)
    output = renamed.get(graph.output, graph.output)
    return graph.rewritten(nodes, constants=constants, output=output)


def _merge(source: Node, node: Node, constants: dict[str, Array], *, taken: set[str]) -> Node:
    scale, shift = (constants[name].astype(np.float64) for name in node.inputs[1:])
    weight = constants[source.inputs[1]].astype(np.float64)
    bias = constants[source.inputs[2]].astype(np.float64) if len(source.inputs) > 2 else 0.0
    per_output = scale.reshape(-1, *(1,) * (weight.ndim - 1))
    names = tuple(unused_name(f"{source.name}.{part}'", taken) for part in ("weight", "bias"))
    constants[names[0]] = (weight * per_output).astype(np.float32)
    constants[names[1]] = (bias * scale + shift).astype(np.float32)
    return replace(source, inputs=(source.inputs[0], *names), epilogue=node.epilogue)
