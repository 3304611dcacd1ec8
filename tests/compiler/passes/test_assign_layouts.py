from __future__ import annotations

import numpy as np
import pytest

from convforge.compiler.ir.graph import Node
from convforge.compiler.ir.reference import evaluate
from convforge.compiler.ir.verify import verify
from convforge.compiler.kernels.family import Layout
from convforge.compiler.passes.assign_layouts import ANY, assign_layouts, rounded

SAME = {"stride": (1, 1), "dilation": (1, 1), "padding": (1, 1, 1, 1), "groups": 1}
POOL = {"stride": (2, 2), "dilation": (1, 1), "padding": (0, 0, 0, 0), "kernel": (2, 2)}


@pytest.fixture
def assign(draw):
    def run(graph):
        verify(graph)
        after, layouts = assign_layouts(graph)
        verify(after)
        image = draw(*graph.input_shape).astype(np.float64)
        np.testing.assert_array_equal(evaluate(after, image), evaluate(graph, image))
        computed = {graph.input, *(node.name for node in after.nodes)}
        assert set(layouts) == computed
        assert layouts[after.input] is layouts[after.output] is Layout.PLANAR
        return after, layouts

    return run


def test_neighbours_stay_in_blocks_and_the_ends_are_planar(assign, make_graph, draw):
    graph = make_graph(
        Node("a", "conv2d", ("x", "w"), SAME),
        Node("b", "max_pool", ("a",), POOL),
        Node("c", "conv2d", ("b", "v"), SAME),
        Node("d", "add", ("b", "c"), {}, (("relu",),)),
        shape=(1, 3, 12, 12),
        w=draw(32, 3, 3, 3),
        v=draw(32, 32, 3, 3),
    )
    after, layouts = assign(graph)
    assert [node.name for node in after.nodes] == ["a", "b", "c", "d", "d, planar"]
    assert {layouts[name] for name in "abcd"} == {Layout.BLOCKED}
    assert after.output == "d, planar"


def test_a_value_is_moved_once_for_all_its_readers(assign, make_graph, draw):
    graph = make_graph(
        Node("a", "conv2d", ("x", "w"), SAME),
        Node("norm", "lrn", ("a",), {"size": 3, "alpha": 1.0, "beta": 0.5, "k": 1.0}),
        Node("again", "lrn", ("a",), {"size": 5, "alpha": 1.0, "beta": 0.5, "k": 1.0}),
        Node("sum", "add", ("norm", "again")),
        shape=(1, 3, 12, 12),
        w=draw(32, 3, 3, 3),
    )
    after, _ = assign(graph)
    assert [node.name for node in after.nodes].count("a, planar") == 1


@pytest.mark.parametrize(("maps", "joined"), [(32, Layout.BLOCKED), (24, Layout.PLANAR)])
def test_whole_blocks_are_joined_as_they_are(assign, make_graph, draw, maps, joined):
    graph = make_graph(
        Node("a", "conv2d", ("x", "w"), SAME),
        Node("b", "conv2d", ("a", "v"), SAME),
        Node("both", "concat", ("a", "b"), {"axis": 1}),
        Node("c", "conv2d", ("both", "u"), SAME),
        shape=(1, 3, 12, 12),
        w=draw(maps, 3, 3, 3),
        v=draw(32, maps, 3, 3),
        u=draw(16, maps + 32, 3, 3),
    )
    _, layouts = assign(graph)
    assert layouts["both"] is joined


def test_values_are_rounded_where_that_is_allowed_and_faster(make_graph, draw):
    graph = make_graph(
        Node("a", "conv2d", ("x", "w"), {**SAME, "padding": (0,) * 4}),
        Node("b", "conv2d", ("a", "v"), SAME),
        shape=(1, 64, 56, 56),
        w=draw(64, 64, 1, 1),
        v=draw(64, 64, 3, 3),
    )
    _, exact = assign_layouts(graph)
    assert not rounded(exact)
    after, layouts = assign_layouts(graph, ANY)
    verify(after)
    assert layouts["a"] is Layout.BF16
    assert rounded(layouts) >= {"x, bf16", "a"}


@pytest.mark.parametrize(("channels", "layout"), [(32, Layout.BF16), (33, Layout.PLANAR)])
def test_blocks_of_bf16_are_cut_whole(make_graph, draw, channels, layout):
    graph = make_graph(
        Node("a", "conv2d", ("x", "w"), SAME),
        Node("s", "slice", ("a",), {"axis": 1, "start": channels, "stop": 64, "step": 1}),
        Node("b", "conv2d", ("s", "v"), SAME),
        shape=(1, 64, 8, 8),
        w=draw(64, 64, 3, 3),
        v=draw(32, 64 - channels, 3, 3),
    )
    _, layouts = assign_layouts(graph, ANY)
    assert layouts["a"] is Layout.BF16
    assert layouts["s"] is layout
