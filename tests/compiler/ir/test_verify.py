from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from convforge.compiler.ir.graph import Graph, Node
from convforge.compiler.ir.verify import verify
from convforge.errors import VerifyError

WINDOW = {"stride": (1, 1), "dilation": (1, 1), "padding": (0, 0, 0, 0)}
CONV = {**WINDOW, "groups": 1}


@pytest.fixture
def graph(make_graph):
    """conv → relu → flatten → linear, which breaks no rule."""
    return make_graph(
        Node("conv", "conv2d", ("x", "w", "b"), CONV),
        Node("relu", "elementwise", ("conv",), {}, (("relu",),)),
        Node("flat", "reshape", ("relu",), {"shape": (1, 64)}),
        Node("fc", "linear", ("flat", "v")),
        w=np.ones((4, 3, 3, 3)),
        b=np.ones(4),
        v=np.ones((5, 64)),
    )


def with_node(graph: Graph, node: Node) -> Graph:
    """The graph with its node of this name replaced, or with one more."""
    names = [other.name for other in graph.nodes]
    if node.name in names:
        nodes = tuple(node if other.name == node.name else other for other in graph.nodes)
    else:
        nodes = (*graph.nodes, node)
    return replace(graph, nodes=nodes)


def test_a_graph_that_keeps_the_rules_passes(graph):
    verify(graph)


@pytest.mark.parametrize("shape", [(), (1, 0, 6, 6), (1,) * 7])
def test_the_input_has_one_to_six_axes_and_no_empty_one(graph, shape):
    with pytest.raises(VerifyError, match=r"input 'x' has shape .*expected 1 to 6 sizes from 1"):
        verify(replace(graph, input_shape=shape))


@pytest.mark.parametrize(
    ("array", "found"),
    [
        (np.ones((4, 3, 3, 3)), "contiguous float64"),
        (np.ones((3, 3, 3, 4), np.float32).transpose(3, 0, 1, 2), "strided float32"),
    ],
)
def test_constants_are_contiguous_float32(graph, array, found):
    with pytest.raises(VerifyError, match=f"constant 'w' is {found}, expected contiguous float32"):
        verify(replace(graph, constants={**graph.constants, "w": array}))


def test_no_constant_has_the_name_of_the_input(graph):
    with pytest.raises(VerifyError, match="constant 'x': its name is taken"):
        verify(replace(graph, constants={**graph.constants, "x": np.ones(1, np.float32)}))


@pytest.mark.parametrize(
    ("node", "words"),
    [
        (Node("new", "flatten", ("fc",)), r"'new' \(flatten\): no such operation"),
        (Node("new", "elementwise", ("later",)), "reads 'later', which is not computed before it"),
        (Node("relu", "elementwise", ("fc",)), "'relu'.*reads 'fc', which is not computed before"),
        (Node("relu", "elementwise", ("relu",)), "reads 'relu', which is not computed before it"),
        (Node("fc", "linear", ("flat",)), "1 inputs, expected 3"),
        (Node("fc", "linear", ("flat", "v", "b", "b")), "4 inputs, expected 3"),
        (Node("relu", "elementwise", ("conv", "conv"), {}, (("relu",),)), "2 inputs, expected 1"),
        (Node("fc", "rbf", ("relu", "v")), r"'relu' has rank 4, expected \(2,\)"),
        (Node("flat", "reshape", ("w",), {"shape": (1, 108)}), "'flat'.*reads constants only"),
        (Node("fc", "linear", ("flat", "flat")), "input 'flat' must be a constant"),
        (Node("conv", "conv2d", ("x", "x"), CONV), "input 'x' must be a constant"),
        (Node("conv", "conv2d", ("x", "w"), WINDOW), r"attributes \[.*expected \['dilation', 'gro"),
        (Node("conv", "conv2d", ("x", "w"), {**CONV, "axis": 1}), "attributes .*'axis'"),
        (
            Node("conv", "conv2d", ("x", "w"), {**CONV, "groups": 1.0}),
            "groups is 1.0, .* int",
        ),
        (Node("conv", "conv2d", ("x", "w"), {**CONV, "stride": 1}), "stride is 1, expected tuple"),
        (Node("conv", "conv2d", ("x", "w"), {**CONV, "groups": 3}), "3 groups do not fit"),
        (Node("relu", "elementwise", ("conv",), {}, (("selu",),)), "'selu'.* is not a step"),
        (Node("relu", "elementwise", ("conv",), {}, (("clip", 0.0),)), "is not a step"),
        (Node("relu", "elementwise", ("conv",), {}, (("relu", 1.0),)), "is not a step"),
        (
            Node("flat", "reshape", ("relu",), {"shape": (1, 64)}, (("relu",),)),
            "'flat'.*epilogue.* does not take",
        ),
    ],
)
def test_a_node_that_breaks_a_rule_is_named_with_the_rule(graph, node, words):
    with pytest.raises(VerifyError, match=words):
        verify(with_node(graph, node))


@pytest.mark.parametrize("name", ["x", "w", "conv"])
def test_a_name_is_given_once(graph, name):
    nodes = (*graph.nodes, Node(name, "elementwise", ("fc",)))
    with pytest.raises(VerifyError, match=rf"'{name}'.*its name is taken"):
        verify(replace(graph, nodes=nodes))


@pytest.mark.parametrize("output", ["nothing", "w"])
def test_the_output_is_computed(graph, output):
    with pytest.raises(VerifyError, match=f"output '{output}' is not a computed value"):
        verify(replace(graph, output=output))


def test_the_input_may_be_the_output(make_graph):
    verify(replace(make_graph(Node("y", "elementwise", ("x",))), output="x"))
