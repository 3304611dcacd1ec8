"""The rules of a graph, checked after the front end and after every pass.

A graph that breaks one is a defect in convforge: the front ends refuse what they do not understand
before a graph exists.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from convforge.compiler.ir import ops
from convforge.errors import VerifyError

if TYPE_CHECKING:
    from convforge.compiler.ir.graph import Graph, Node


def verify(graph: Graph) -> None:
    """Raise VerifyError naming the node and the rule that it breaks."""
    for name, array in graph.constants.items():
        if array.dtype != np.float32 or not array.flags.c_contiguous:
            raise VerifyError(f"constant {name!r} is {array.dtype}, expected contiguous float32")
    known = {graph.input, *graph.constants}
    for node in graph.nodes:
        _verify_node(node, graph=graph, known=known)
        known.add(node.name)
    if graph.output not in known:
        raise VerifyError(f"the output {graph.output!r} is not a value of the graph")
    _ = graph.shapes


def _verify_node(node: Node, *, graph: Graph, known: set[str]) -> None:
    where = f"node {node.name!r} ({node.op})"
    if node.op not in ops.OPS:
        raise VerifyError(f"{where}: no such operation")
    if node.name in known:
        raise VerifyError(f"{where}: its name is taken")
    op = ops.OPS[node.op]
    missing = [name for name in node.inputs if name not in known]
    if missing:
        raise VerifyError(f"{where}: reads {missing[0]!r}, which is not computed before it")
    fewest = len(op.ranks) - op.optional
    if len(node.inputs) < fewest or (len(node.inputs) > len(op.ranks) and not op.variadic):
        raise VerifyError(f"{where}: {len(node.inputs)} inputs, expected {len(op.ranks)}")
    for position, name in enumerate(node.inputs):
        allowed = op.ranks[min(position, len(op.ranks) - 1)]
        rank = len(graph.shapes[name])
        if rank not in allowed:
            raise VerifyError(f"{where}: input {name!r} has rank {rank}, expected {allowed}")
        if position >= op.constants and name not in graph.constants:
            raise VerifyError(f"{where}: input {name!r} must be a constant")
    if set(node.attrs) != set(op.attrs):
        raise VerifyError(f"{where}: attributes {sorted(node.attrs)}, expected {sorted(op.attrs)}")
    for key, kind in op.attrs.items():
        if not isinstance(node.attrs[key], kind):
            raise VerifyError(f"{where}: attribute {key} is {node.attrs[key]!r}, expected {kind}")
    for step in node.epilogue:
        if ops.EPILOGUES.get(str(step[0])) != len(step) - 1:
            raise VerifyError(f"{where}: {step!r} is not a step of an epilogue")
