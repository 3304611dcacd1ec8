from __future__ import annotations

import numpy as np
import pytest

from convforge.compiler.ir.graph import Node
from convforge.compiler.passes.order_operands import order_operands


def test_a_constant_comes_second(golden_pass, make_graph, draw):
    graph = make_graph(
        Node("sum", "add", ("c", "x")),
        Node("difference", "sub", ("c", "sum")),
        Node("product", "mul", ("d", "difference"), {}, (("relu",),)),
        Node("shifted", "elementwise", ("product",), {}, (("affine", 1.0, 0.5),)),
        Node("quotient", "div", ("d", "shifted"), {}, (("tanh",),)),
        c=draw(6, 1),
        d=draw(3, 1, 6),
    )
    after = golden_pass(order_operands, graph)
    assert {node.inputs[1] for node in after.nodes if node.op != "elementwise"} == {"c", "d"}


@pytest.mark.parametrize("op", ["add", "sub", "mul", "div"])
def test_what_is_in_order_stays(unchanged, make_graph, draw, op):
    twos = np.full((1, 3, 6, 6), 2.0)
    unchanged(order_operands, make_graph(Node("y", op, ("x", "c")), c=twos))
    step = Node("step", "elementwise", ("x",), {}, (("exp",),))
    unchanged(order_operands, make_graph(step, Node("y", op, ("x", "step"))))


def test_names_that_are_taken_are_not_given_again(apply, make_graph, draw):
    graph = make_graph(
        Node("y.sub", "elementwise", ("x",), {}, (("relu",),)),
        Node("y", "sub", ("c", "y.sub")),
        c=draw(6),
    )
    assert [node.name for node in apply(order_operands, graph).nodes] == ["y.sub", "y.sub'", "y"]
