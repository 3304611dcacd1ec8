from __future__ import annotations

import numpy as np
import pytest

from convforge.compiler.ir.graph import Node
from convforge.errors import VerifyError


@pytest.fixture
def graph(make_graph):
    return make_graph(
        Node("flat", "reshape", ("x",), {"shape": (1, 4)}),
        Node("fc", "linear", ("flat", "w")),
        Node("sum", "add", ("fc", "fc")),
        shape=(1, 2, 2, 1),
        w=np.ones((3, 4)),
    )


def test_every_value_and_constant_has_a_shape(graph):
    expected = {"x": (1, 2, 2, 1), "w": (3, 4), "flat": (1, 4), "fc": (1, 3), "sum": (1, 3)}
    assert graph.shapes == expected


def test_a_node_without_a_shape_is_named(make_graph):
    graph = make_graph(
        Node("flat", "reshape", ("x",), {"shape": (1, 108)}),
        Node("fc", "linear", ("flat", "w")),
        w=np.ones((3, 5)),
    )
    with pytest.raises(VerifyError, match=r"node 'fc' \(linear\): 108 features do not fit"):
        _ = graph.shapes


def test_a_value_knows_its_producer(graph):
    assert graph.producers == {node.name: node for node in graph.nodes}


def test_reads_are_counted_once_each_and_the_output_is_a_read(graph):
    assert graph.uses == {"x": 1, "flat": 1, "w": 1, "fc": 2, "sum": 1}


def test_a_rewritten_graph_keeps_what_it_is_not_given_and_drops_constants_that_nobody_reads(graph):
    flat = Node("flat", "reshape", ("x",), {"shape": (1, 4)})
    rewritten = graph.rewritten([flat], constants=graph.constants, output="flat")
    assert (rewritten.input, rewritten.input_shape) == ("x", (1, 2, 2, 1))
    assert (rewritten.nodes, dict(rewritten.constants), rewritten.output) == ((flat,), {}, "flat")
    assert graph.rewritten(graph.nodes, constants=graph.constants).output == "sum"
    assert set(graph.constants) == {"w"}
