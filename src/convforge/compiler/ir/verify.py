"""The rules of a graph, checked after the front end and after every pass.

A graph that breaks one is a defect in convforge: the front ends refuse what they do not understand
before a graph exists.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from convforge.compiler.ir import ops
from convforge.compiler.ir.shapes import LARGEST_RANK
from convforge.errors import VerifyError

if TYPE_CHECKING:
    from collections.abc import Mapping, Set

    from convforge.compiler.ir.graph import Graph, Node
    from convforge.compiler.ir.ops import Shape


def verify(graph: Graph) -> None:
    """Raise VerifyError naming the node and the rule that it breaks."""
    # Shapes are derived along the way: a node is looked at only after all that it reads.
    shape = graph.input_shape
    if not 1 <= len(shape) <= LARGEST_RANK or min(shape) < 1:
        raise VerifyError(
            f"the input {graph.input!r} has shape {shape}, expected 1 to {LARGEST_RANK} sizes from "
            "1 on"
        )
    shapes: dict[str, Shape] = {graph.input: shape}
    for name, array in graph.constants.items():
        if name in shapes:
            raise VerifyError(f"constant {name!r}: its name is taken")
        if array.dtype != np.float32 or not array.flags.c_contiguous:
            order = "contiguous" if array.flags.c_contiguous else "strided"
            raise VerifyError(
                f"constant {name!r} is {order} {array.dtype}, expected contiguous float32"
            )
        shapes[name] = array.shape
    for node in graph.nodes:
        _verify_node(node, shapes)
        _verify_inputs(node, shapes, constants=graph.constants.keys())
        inputs = tuple(shapes[name] for name in node.inputs)
        shapes[node.name] = ops.result_shape(node.name, node.op, inputs, node.attrs)
    if graph.output not in shapes or graph.output in graph.constants:
        raise VerifyError(f"the output {graph.output!r} is not a computed value of the graph")


def _verify_node(node: Node, shapes: Mapping[str, Shape]) -> None:
    where = f"node {node.name!r} ({node.op})"
    if node.op not in ops.OPS:
        raise VerifyError(f"{where}: no such operation")
    if node.name in shapes:
        raise VerifyError(f"{where}: its name is taken")
    expected = ops.OPS[node.op].attrs
    if set(node.attrs) != set(expected):
        raise VerifyError(f"{where}: attributes {sorted(node.attrs)}, expected {sorted(expected)}")
    for key, kind in expected.items():
        if not isinstance(node.attrs[key], kind):
            raise VerifyError(
                f"{where}: attribute {key} is {node.attrs[key]!r}, expected {kind.__name__}"
            )
    if node.epilogue and node.op in ops.WITHOUT_EPILOGUE:
        raise VerifyError(f"{where}: has an epilogue, which it does not take")
    if node.between and node.op != "conv2d_pair":
        raise VerifyError(f"{where}: has steps between two convolutions, and is no pair")
    for step in node.between + node.epilogue:
        if ops.EPILOGUES.get(str(step[0])) != len(step) - 1:
            raise VerifyError(f"{where}: {step!r} is not a step of an epilogue")


def _verify_inputs(node: Node, shapes: Mapping[str, Shape], *, constants: Set[str]) -> None:
    where, op = f"node {node.name!r} ({node.op})", ops.OPS[node.op]
    fewest = len(op.ranks) - op.optional
    if len(node.inputs) < fewest or (len(node.inputs) > len(op.ranks) and not op.variadic):
        raise VerifyError(f"{where}: {len(node.inputs)} inputs, expected {len(op.ranks)}")
    for position, name in enumerate(node.inputs):
        if name not in shapes:
            raise VerifyError(f"{where}: reads {name!r}, which is not computed before it")
        allowed = op.ranks[min(position, len(op.ranks) - 1)]
        rank = len(shapes[name])
        if rank not in allowed:
            raise VerifyError(f"{where}: input {name!r} has rank {rank}, expected {allowed}")
        if position >= op.constants and name not in constants:
            raise VerifyError(f"{where}: input {name!r} must be a constant")
    if constants >= set(node.inputs):
        raise VerifyError(f"{where}: reads constants only; its value is a constant too")
