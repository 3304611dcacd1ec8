from __future__ import annotations

import numpy as np
import pytest

from convforge.compiler.ir import ops
from convforge.compiler.ir.graph import Node
from convforge.compiler.passes.fuse_epilogue import fuse_epilogue

WINDOW = {"stride": (1, 1), "dilation": (1, 1), "padding": (1, 1, 1, 1)}
CONV = Node("conv", "conv2d", ("x", "w"), {**WINDOW, "groups": 1})


def step(name, source, *steps):
    return Node(name, "elementwise", (source,), {}, tuple(steps))


@pytest.fixture
def weight(draw):
    return draw(4, 3, 3, 3)


def test_steps_move_into_the_layer_before_them_in_their_order(golden_pass, make_graph, weight):
    graph = make_graph(
        CONV,
        step("tanh", "conv", ("tanh",)),
        Node("scale", "scale_shift", ("tanh", "a", "b")),
        step("relu", "scale", ("relu",)),
        Node("pool", "max_pool", ("relu",), {**WINDOW, "kernel": (2, 2)}),
        step("sigmoid", "pool", ("sigmoid",)),
        w=weight,
        a=np.full(4, 1.7159),
        b=np.full(4, -0.25),
    )
    after = golden_pass(fuse_epilogue, graph)
    assert [node.name for node in after.nodes] == ["conv", "pool"]
    assert after.output == "pool"


def test_a_scale_with_a_number_a_channel_is_not_a_step(unchanged, make_graph, weight, draw):
    scale = Node("scale", "scale_shift", ("conv", "a", "b"))
    graph = make_graph(CONV, scale, w=weight, a=draw(4), b=np.ones(4))
    unchanged(fuse_epilogue, graph)
    graph = make_graph(CONV, scale, w=weight, a=np.ones(4), b=draw(4))
    unchanged(fuse_epilogue, graph)


def test_a_scale_of_one_number_behind_a_scale_of_many_is_its_step(apply, make_graph, draw):
    graph = make_graph(
        Node("many", "scale_shift", ("x", "s", "t")),
        Node("one", "scale_shift", ("many", "a", "b"), {}, (("relu",),)),
        s=draw(3),
        t=draw(3),
        a=np.full(3, 2.0),
        b=np.full(3, 1.0),
    )
    after = apply(fuse_epilogue, graph)
    assert after.nodes == (
        Node("many", "scale_shift", ("x", "s", "t"), {}, (("affine", 2.0, 1.0), ("relu",))),
    )
    assert set(after.constants) == {"s", "t"}


def test_a_value_that_somebody_else_reads_too_is_not_changed(unchanged, make_graph, weight):
    graph = make_graph(
        CONV, step("relu", "conv", ("relu",)), Node("sum", "add", ("relu", "conv")), w=weight
    )
    unchanged(fuse_epilogue, graph)


def test_a_value_that_is_the_output_is_not_changed(unchanged, make_graph, weight):
    graph = make_graph(CONV, step("relu", "conv", ("relu",)), output="conv", w=weight)
    unchanged(fuse_epilogue, graph)


def test_both_branches_of_a_sum_fuse_and_so_does_the_sum(apply, make_graph, weight):
    graph = make_graph(
        CONV,
        step("left", "conv", ("relu",)),
        Node("other", "conv2d", ("x", "w"), CONV.attrs),
        step("right", "other", ("tanh",)),
        Node("sum", "add", ("left", "right")),
        step("out", "sum", ("silu",)),
        w=weight,
    )
    after = apply(fuse_epilogue, graph)
    assert after.nodes[-1] == Node("sum", "add", ("conv", "other"), {}, (("silu",),))


MOVES = {
    "pad": {"padding": (1, 1, 1, 1), "channels": (0, 0), "fill": 0.0},
    "concat": {"axis": 1},
    "slice": {"axis": 2, "start": 1, "stop": 5, "step": 2},
    "reshape": {"shape": (1, 108)},
    "transpose": {"perm": (0, 2, 3, 1)},
    "upsample_nearest": {"rows": (0, 0, 1), "columns": (5,)},
}


@pytest.mark.parametrize("op", sorted(ops.MOVES))
def test_what_only_moves_values_takes_no_step(unchanged, make_graph, op):
    graph = make_graph(Node("move", op, ("x",), MOVES[op]), step("relu", "move", ("relu",)))
    unchanged(fuse_epilogue, graph)


def test_steps_on_the_input_stay_one_layer(apply, make_graph):
    graph = make_graph(step("a", "x", ("relu",)), step("b", "a", ("tanh",)))
    assert apply(fuse_epilogue, graph).nodes == (step("a", "x", ("relu",), ("tanh",)),)


def test_a_graph_without_steps_stays_as_it_is(unchanged, make_graph, weight):
    unchanged(fuse_epilogue, make_graph(CONV, w=weight))
