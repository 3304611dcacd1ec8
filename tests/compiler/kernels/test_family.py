from __future__ import annotations

import numpy as np

from convforge.compiler.ir.graph import Node
from convforge.compiler.kernels.family import Layer, Layout, signature


def test_a_layer_tells_its_computed_inputs_from_its_constants(make_graph, draw):
    window = {"stride": (1, 2), "dilation": (1, 1), "padding": (0, 0, 0, 0), "groups": 1}
    weight, bias = draw(4, 3, 3, 3), draw(4)
    graph = make_graph(Node("conv", "conv2d", ("x", "w", "b"), window), w=weight, b=bias)
    layer = Layer.of(graph, graph.nodes[0])
    assert (layer.inputs, layer.output) == (((1, 3, 6, 6),), (1, 4, 4, 2))
    np.testing.assert_array_equal(layer.constants[0], weight)
    np.testing.assert_array_equal(layer.constants[1], bias)
    assert (layer.number("groups"), layer.numbers("stride")) == (1, (1, 2))


def test_a_value_that_is_read_twice_is_two_inputs(make_graph):
    graph = make_graph(Node("square", "mul", ("x", "x")))
    assert Layer.of(graph, graph.nodes[0]).inputs == ((1, 3, 6, 6), (1, 3, 6, 6))


def test_a_real_attribute_is_a_float(make_layer):
    layer = make_layer("lrn", [(1, 3, 2, 2)], size=5, alpha=1e-4, beta=0.75, k=2.0)
    assert (layer.real("alpha"), layer.number("size")) == (1e-4, 5)


def test_a_signature_lists_inputs_weights_and_the_result():
    assert signature("f", inputs=2, weights=1) == (
        "static void f(const float *restrict x0, const float *restrict x1, "
        "const float *restrict w0, float *restrict y)"
    )
    assert signature("f", inputs=1, weights=0) == (
        "static void f(const float *restrict x0, float *restrict y)"
    )


def test_layouts_say_how_many_floats_a_value_takes():
    assert Layout.PLANAR.floats((1, 3, 5, 5)) == 75
    assert Layout.BLOCKED.floats((1, 17, 5, 5)) == 32 * 25
    assert Layout.BYTES.floats((2, 65, 5, 5)) == 2 * 2 * 16 * 25
    assert Layout.BYTES.floats((1, 4, 5, 5)) == 25
    assert Layout.BF16.floats((2, 33, 5, 5)) == 2 * 2 * 16 * 25
    assert Layout.BF16.floats((1, 3, 5, 5)) == 50
    assert Layout.BF16.floats((1, 70)) == 3 * 16
    assert [kind.side_by_side(4) for kind in Layout] == [1, 16, 4, 4]
