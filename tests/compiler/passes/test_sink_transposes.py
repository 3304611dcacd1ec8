from __future__ import annotations

import pytest

from convforge.compiler.ir.graph import Node
from convforge.compiler.passes.sink_transposes import sink_transposes

LAST = (0, 2, 3, 1)
TO_LAST = Node("to_last", "transpose", ("x",), {"perm": LAST})


def norm(name, source, axis):
    parameters = ("gamma", "beta")
    return Node(name, "layer_norm", (source, *parameters), {"axis": axis, "eps": 1e-6})


def step(name, source, *steps):
    return Node(name, "elementwise", (source,), {}, steps)


@pytest.fixture
def parameters(draw):
    return {"gamma": draw(3), "beta": draw(3)}


def test_a_block_of_convnext_works_on_channels_where_they_are(
    golden_pass, make_graph, parameters, draw
):
    graph = make_graph(
        TO_LAST,
        norm("norm", "to_last", 3),
        Node("wide", "linear", ("norm", "w", "b")),
        step("gelu", "wide", ("gelu",)),
        Node("narrow", "linear", ("gelu", "v")),
        Node("back", "transpose", ("narrow",), {"perm": (0, 3, 1, 2)}),
        w=draw(12, 3),
        b=draw(12),
        v=draw(3, 12),
        **parameters,
    )
    after = golden_pass(sink_transposes, graph)
    assert [node.op for node in after.nodes] == [
        *("layer_norm", "conv2d", "elementwise", "conv2d", "transpose", "transpose"),
    ]


@pytest.mark.parametrize("perm", [(0, 2, 3, 1), (0, 3, 2, 1), (2, 0, 3, 1), (0, 1, 3, 2)])
@pytest.mark.parametrize("op", ["layer_norm", "softmax"])
def test_an_axis_is_the_one_before_the_transpose(apply, make_graph, draw, perm, op):
    attrs = {"axis": 3, "eps": 1e-6} if op == "layer_norm" else {"axis": 3}
    shape = (2, 3, 4, 5)
    length = shape[perm[3]]
    parameters = {"gamma": draw(length), "beta": draw(length)} if op == "layer_norm" else {}
    graph = make_graph(
        Node("turned", "transpose", ("x",), {"perm": perm}),
        Node("y", op, ("turned", *parameters), attrs),
        shape=shape,
        **parameters,
    )
    after = apply(sink_transposes, graph)
    assert [(node.name, node.op) for node in after.nodes] == [("y", op), ("turned", "transpose")]
    assert after.output == "turned"


@pytest.mark.parametrize("perm", [(0, 2, 3, 1), (0, 3, 2, 1), (2, 3, 0, 1)])
def test_a_linear_layer_over_channels_is_a_convolution(apply, make_graph, draw, perm):
    graph = make_graph(
        Node("turned", "transpose", ("x",), {"perm": perm}),
        Node("fc", "linear", ("turned", "w", "b"), {}, (("relu",),)),
        shape=(2, 3, 4, 5),
        w=draw(7, 3),
        b=draw(7),
    )
    after = apply(sink_transposes, graph)
    assert (after.nodes[0].op, after.nodes[0].epilogue) == ("conv2d", (("relu",),))


def test_a_linear_layer_over_rows_stays(unchanged, make_graph, draw):
    turned = Node("turned", "transpose", ("x",), {"perm": (0, 1, 3, 2)})
    unchanged(
        sink_transposes, make_graph(turned, Node("fc", "linear", ("turned", "w")), w=draw(4, 6))
    )
    turned = Node("turned", "transpose", ("x",), {"perm": (0, 2, 1)})
    fc = Node("fc", "linear", ("turned", "w"))
    unchanged(sink_transposes, make_graph(turned, fc, shape=(1, 3, 6), w=draw(4, 3)))


def test_a_value_that_somebody_else_reads_too_stays(unchanged, make_graph):
    graph = make_graph(
        TO_LAST, step("relu", "to_last", ("relu",)), Node("sum", "add", ("relu", "to_last"))
    )
    unchanged(sink_transposes, graph)
    unchanged(
        sink_transposes, make_graph(TO_LAST, step("relu", "to_last", ("relu",)), output="to_last")
    )


def test_what_counts_positions_stays_behind_the_transpose(unchanged, make_graph, draw):
    for node in (
        Node("y", "scale_shift", ("to_last", "s", "s")),
        Node("y", "reshape", ("to_last",), {"shape": (1, 108)}),
        Node("y", "slice", ("to_last",), {"axis": 1, "start": 0, "stop": 2, "step": 1}),
        Node("y", "mean", ("to_last",), {"axes": (1, 2)}),
    ):
        constants = {"s": draw(6)} if node.op == "scale_shift" else {}
        unchanged(sink_transposes, make_graph(TO_LAST, node, **constants))


def test_both_readers_of_what_came_before_read_the_transpose(apply, make_graph):
    graph = make_graph(
        TO_LAST,
        step("relu", "to_last", ("relu",)),
        step("tanh", "relu", ("tanh",)),
        Node("sum", "add", ("relu", "tanh")),
    )
    after = apply(sink_transposes, graph)
    assert [node.name for node in after.nodes] == ["relu", "to_last", "tanh", "sum"]
