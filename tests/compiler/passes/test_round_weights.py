from __future__ import annotations

import numpy as np
import pytest

from convforge.compiler.ir.graph import Node
from convforge.compiler.ir.reference import evaluate
from convforge.compiler.passes.round_weights import FEWEST, round_weights

WINDOW = {"stride": (1, 1), "dilation": (1, 1), "padding": (0, 0, 0, 0)}


def halves(array):
    return array.astype(np.float16).astype(np.float32)


@pytest.fixture
def graph(make_graph, draw):
    """A convolution of sums of 27 products, a depthwise one, one of sums of 36, all with biases."""
    return make_graph(
        Node("few", "conv2d", ("x", "w27", "b4"), {**WINDOW, "groups": 1}),
        Node("depthwise", "conv2d", ("few", "w9", "b4"), {**WINDOW, "groups": 4}),
        Node("many", "conv2d", ("depthwise", "w36", "b2"), {**WINDOW, "groups": 1}),
        shape=(1, 3, 9, 9),
        w27=draw(4, 3, 3, 3),
        w9=draw(4, 1, 3, 3),
        w36=draw(2, 4, 3, 3),
        b4=draw(4),
        b2=draw(2),
    )


def test_only_the_weights_of_long_sums_are_rounded(graph):
    after = round_weights(graph)
    assert after.nodes == graph.nodes
    for name, array in graph.constants.items():
        expected = halves(array) if name == "w36" else array
        np.testing.assert_array_equal(after.constants[name], expected)


@pytest.mark.parametrize("products", [FEWEST - 1, FEWEST, FEWEST + 1])
def test_sums_are_long_from_this_many_products(make_graph, draw, products):
    weight = draw(2, products, 1, 1)
    node = Node("conv", "conv2d", ("x", "w"), {**WINDOW, "groups": 1})
    after = round_weights(make_graph(node, shape=(1, products, 8, 8), w=weight))
    expected = halves(weight) if products >= FEWEST else weight
    np.testing.assert_array_equal(after.constants["w"], expected)


def test_so_are_those_of_a_convolution_that_adds(make_graph, draw):
    node = Node("conv", "conv2d_add", ("x", "x", "w", "b"), {**WINDOW, "groups": 1})
    graph = make_graph(node, shape=(1, 40, 4, 4), w=draw(40, 40, 1, 1), b=draw(40))
    after = round_weights(graph).constants
    np.testing.assert_array_equal(after["w"], halves(graph.constants["w"]))
    np.testing.assert_array_equal(after["b"], graph.constants["b"])


def test_what_float16_cannot_hold_stays(make_graph, draw):
    weight = draw(2, 40, 1, 1)
    weight[1, 7] = 70_000.0
    node = Node("conv", "conv2d", ("x", "w"), {**WINDOW, "groups": 1})
    after = round_weights(make_graph(node, shape=(1, 40, 8, 8), w=weight))
    np.testing.assert_array_equal(after.constants["w"], weight)


def test_a_constant_that_something_else_reads_too_stays(make_graph, draw):
    weight = draw(1, 40, 1, 1)
    nodes = (
        Node("sum", "add", ("x", "w")),
        Node("conv", "conv2d", ("sum", "w"), {**WINDOW, "groups": 1}),
    )
    graph = make_graph(*nodes, shape=(1, 40, 8, 8), w=weight)
    np.testing.assert_array_equal(round_weights(graph).constants["w"], weight)


def test_rounding_moves_the_result_by_about_its_own_size(graph, draw):
    image = draw(*graph.input_shape).astype(np.float64)
    expected, found = (evaluate(g, image) for g in (graph, round_weights(graph)))
    deviation = np.abs(found - expected).max() / np.abs(expected).max()
    assert 1e-6 < deviation < 1e-3
