from __future__ import annotations

import numpy as np
import pytest

from convforge.compiler.ir.graph import Node
from convforge.compiler.passes.fold_scale_shift import fold_scale_shift

WINDOW = {"stride": (1, 1), "dilation": (1, 1), "padding": (1, 1, 1, 1)}
CONV = {**WINDOW, "groups": 1}


def scale_shift(name, source, number=""):
    return Node(name, "scale_shift", (source, f"s{number}", f"t{number}"))


@pytest.fixture
def constants(draw):
    return {"w": draw(4, 3, 3, 3), "b": draw(4), "s": draw(4), "t": draw(4)}


def test_a_chain_folds_into_the_convolution_before_it(golden_pass, make_graph, constants, draw):
    graph = make_graph(
        Node("conv", "conv2d", ("x", "w", "b"), CONV),
        scale_shift("bn", "conv"),
        scale_shift("scale", "bn", 2),
        Node("relu", "elementwise", ("scale",), {}, (("relu",),)),
        **constants,
        s2=draw(4),
        t2=draw(4),
    )
    after = golden_pass(fold_scale_shift, graph)
    assert [node.name for node in after.nodes] == ["conv", "relu"]


def test_the_folded_layer_can_be_the_output(apply, make_graph, constants):
    after = apply(
        fold_scale_shift,
        make_graph(
            Node("conv", "conv2d", ("x", "w", "b"), CONV), scale_shift("bn", "conv"), **constants
        ),
    )
    assert after.output == "conv"


def test_it_folds_without_a_bias_and_with_groups(apply, make_graph, draw):
    conv = Node("conv", "conv2d", ("x", "w"), {**WINDOW, "groups": 3})
    after = apply(
        fold_scale_shift,
        make_graph(conv, scale_shift("bn", "conv"), w=draw(6, 1, 3, 3), s=draw(6), t=draw(6)),
    )
    assert len(after.nodes) == 1
    assert len(after.nodes[0].inputs) == 3


def test_it_folds_into_a_linear_layer(apply, make_graph, draw):
    graph = make_graph(
        Node("flat", "reshape", ("x",), {"shape": (1, 108)}),
        Node("fc", "linear", ("flat", "w")),
        scale_shift("bn", "fc"),
        w=draw(5, 108),
        s=draw(5),
        t=draw(5),
    )
    assert [node.op for node in apply(fold_scale_shift, graph).nodes] == ["reshape", "linear"]


def test_a_linear_layer_whose_outputs_are_the_last_of_many_axes_stays(unchanged, make_graph, draw):
    graph = make_graph(
        Node("fc", "linear", ("x", "w")),
        scale_shift("bn", "fc"),
        w=draw(3, 6),
        s=draw(3),
        t=draw(3),
    )
    unchanged(fold_scale_shift, graph)


def test_two_scale_shifts_become_one(apply, make_graph, draw):
    constants = {name: draw(3) for name in ("s", "t", "s2", "t2")}
    graph = make_graph(scale_shift("a", "x"), scale_shift("b", "a", 2), **constants)
    assert [node.name for node in apply(fold_scale_shift, graph).nodes] == ["a"]


def test_an_epilogue_behind_the_scale_is_kept(apply, make_graph, constants):
    bn = Node("bn", "scale_shift", ("conv", "s", "t"), {}, (("relu",),))
    graph = make_graph(Node("conv", "conv2d", ("x", "w", "b"), CONV), bn, **constants)
    assert apply(fold_scale_shift, graph).nodes[0].epilogue == (("relu",),)


def test_weights_that_another_layer_shares_are_not_touched(apply, make_graph, constants):
    graph = make_graph(
        Node("a", "conv2d", ("x", "w", "b"), CONV),
        scale_shift("bn", "a"),
        Node("c", "conv2d", ("x", "w", "b"), CONV),
        Node("sum", "add", ("bn", "c")),
        **constants,
    )
    after = apply(fold_scale_shift, graph)
    np.testing.assert_array_equal(after.constants["w"], constants["w"])
    assert after.producers["sum"].inputs == ("a", "c")


def test_a_constant_that_has_the_name_already_keeps_it(apply, make_graph, constants):
    taken = {"conv.weight'": constants["w"][:, :, ::-1], "conv.bias'": constants["t"]}
    graph = make_graph(
        Node("conv", "conv2d", ("x", "w", "b"), CONV),
        scale_shift("bn", "conv"),
        Node("other", "conv2d", ("x", *taken), CONV),
        Node("sum", "add", ("bn", "other")),
        **constants,
        **taken,
    )
    assert apply(fold_scale_shift, graph).nodes[0].inputs == ("x", "conv.weight''", "conv.bias''")


def test_a_value_that_somebody_else_reads_too_is_not_changed(unchanged, make_graph, constants):
    graph = make_graph(
        Node("conv", "conv2d", ("x", "w", "b"), CONV),
        scale_shift("bn", "conv"),
        Node("sum", "add", ("bn", "conv")),
        **constants,
    )
    unchanged(fold_scale_shift, graph)


def test_a_value_that_is_the_output_is_not_changed(unchanged, make_graph, constants):
    conv = Node("conv", "conv2d", ("x", "w", "b"), CONV)
    graph = make_graph(conv, scale_shift("bn", "conv"), output="conv", **constants)
    unchanged(fold_scale_shift, graph)


def test_nothing_folds_across_an_epilogue(unchanged, make_graph, constants):
    conv = Node("conv", "conv2d", ("x", "w", "b"), CONV, (("relu",),))
    unchanged(fold_scale_shift, make_graph(conv, scale_shift("bn", "conv"), **constants))


def test_nothing_folds_into_a_pooling_or_the_input(unchanged, make_graph, draw):
    graph = make_graph(
        scale_shift("first", "x"),
        Node("pool", "max_pool", ("first",), {**WINDOW, "kernel": (3, 3)}),
        scale_shift("last", "pool"),
        s=draw(3),
        t=draw(3),
    )
    unchanged(fold_scale_shift, graph)
