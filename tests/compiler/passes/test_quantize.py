from __future__ import annotations

import numpy as np
import pytest

from convforge.compiler.ir.graph import Node
from convforge.compiler.ir.ops import POINTWISE
from convforge.compiler.ir.reference import evaluate, evaluate_all
from convforge.compiler.ir.verify import verify
from convforge.compiler.passes.quantize import Scale, before, quantize

SAME = {"stride": (1, 1), "dilation": (1, 1), "padding": (1, 1, 1, 1), "groups": 1}
WINDOW = {key: SAME[key] for key in ("stride", "dilation", "padding")}
RELU = (("relu",),)
SILU = (("silu",),)


@pytest.fixture
def ranges_of(draw):
    """Of every value of a graph on one image, those before an epilogue at three times theirs."""

    def find(graph, x=None):
        values = evaluate_all(graph, draw(*graph.input_shape) if x is None else x)
        found = {n: (float(v.min()), float(v.max())) for n, v in values.items()}
        wide = {before(node.name): (-9.0, 9.0) for node in graph.nodes}
        return found | wide

    return find


@pytest.fixture
def near(draw, ranges_of):
    """The pass, and how far off the graph that it gives is, as a share of the largest value."""

    def check(graph, share, **options):
        x = draw(*graph.input_shape)
        after = quantize(graph, ranges_of(graph, x), **options)
        verify(after)
        expected, found = evaluate(graph, x), evaluate(after, x)
        assert np.abs(found - expected).max() <= share * np.abs(expected).max()
        return after

    return check


@pytest.fixture
def convolution(make_graph, draw):
    def make(*nodes, **constants):
        first = Node("a", "conv2d", ("x", "wa", "ba"), SAME, RELU)
        arrays = {"wa": draw(8, 3, 3, 3), "ba": draw(8), **constants}
        return make_graph(first, *nodes, shape=(1, 3, 12, 12), **arrays)

    return make


def ops(graph):
    return [node.op for node in graph.nodes]


def test_a_scale_spans_its_range_with_zero_in_it():
    assert Scale.of(0, 5.1) == Scale(pytest.approx(0.02), 0)
    assert Scale.of(2, 5.1).zero == 0
    assert Scale.of(-5.1, -2).zero == 255
    assert Scale.of(-1, 3).zero == 64
    assert Scale.of(0, 0) == Scale(1.0, 0)
    assert Scale.of(-1, 3, top=127) == Scale(pytest.approx(4 / 127), 32, 127)


def test_a_convolution_becomes_one_of_bytes(near, convolution):
    after = near(convolution(), 0.03)
    assert ops(after) == ["quantize", "conv2d_int8", "dequantize"]
    assert after.nodes[1].epilogue == ()


def test_what_lies_between_two_stays_bytes(near, convolution, draw):
    graph = convolution(
        Node("b", "conv2d", ("a", "wb"), SAME, SILU),
        Node("c", "conv2d_add", ("b", "a", "wc", "bc"), SAME, RELU),
        wb=draw(8, 8, 3, 3) / 20,
        wc=draw(8, 8, 3, 3) / 8,
        bc=draw(8),
    )
    after = near(graph, 0.06)
    assert ops(after) == [
        *("quantize", "conv2d_int8", "conv2d_int8", "conv2d_add_int8", "dequantize")
    ]
    table = after.constants[after.nodes[2].inputs[-1]]
    assert table.shape == (256,)


def test_bytes_of_seven_bits_have_steps_twice_as_wide(near, convolution, draw):
    graph = convolution(
        Node("b", "conv2d", ("a", "wb"), SAME, SILU),
        Node("c", "conv2d_add", ("b", "a", "wc", "bc"), SAME, RELU),
        wb=draw(8, 8, 3, 3) / 20,
        wc=draw(8, 8, 3, 3) / 8,
        bc=draw(8),
    )
    after = near(graph, 0.12, top=127)
    values = evaluate_all(after, 50 * draw(*after.input_shape))
    bytes_ = [values[name] for name in (after.nodes[0].name, "a", "b", "c")]
    assert [value.max() for value in bytes_] == [127] * 4
    assert {node.attrs["top"] for node in after.nodes} == {127}


def test_no_shift_is_longer_than_16_bits(make_graph, draw, ranges_of):
    weight, bias = draw(6, 3, 3, 3), draw(6)
    weight[0], bias[0] = weight[0] / 1e6, 0  # so little that 29 bits could go
    graph = make_graph(Node("a", "conv2d", ("x", "w", "b"), SAME, RELU), w=weight, b=bias)
    x = draw(*graph.input_shape)
    after = quantize(graph, ranges_of(graph, x))
    shift = after.constants[after.nodes[1].inputs[-1]]
    assert shift[0] == shift.max() == 16
    error = np.abs(evaluate(after, x) - evaluate(graph, x))
    assert error.max() < 0.03 * np.abs(evaluate(graph, x)).max()


def test_layers_that_are_to_be_kept_are(near, convolution, draw):
    graph = convolution(Node("b", "conv2d", ("a", "wb"), SAME), wb=draw(8, 8, 3, 3))
    after = near(graph, 0.03, keep={"a"})
    assert ops(after) == ["conv2d", "quantize", "conv2d_int8", "dequantize"]


def test_squeeze_and_excitation_keeps_its_two_small_layers(near, convolution, draw):
    graph = convolution(
        Node("pool", "mean", ("a",), {"axes": (2, 3)}),
        Node("s", "conv2d", ("pool", "ws"), POINTWISE, RELU),
        Node("e", "conv2d", ("s", "we"), POINTWISE, (("sigmoid",),)),
        Node("gated", "mul", ("a", "e"), {}),
        Node("b", "conv2d", ("gated", "wb"), SAME),
        ws=draw(5, 8, 1, 1),
        we=draw(8, 5, 1, 1),
        wb=draw(6, 8, 3, 3),
    )
    after = near(graph, 0.05)
    assert ops(after) == [
        *("quantize", "conv2d_int8", "mean_int8", "conv2d", "conv2d", "mul_int8"),
        *("conv2d_int8", "dequantize"),
    ]


def test_what_is_joined_has_one_scale(near, convolution, draw):
    graph = convolution(
        Node("b", "conv2d", ("a", "wb"), POINTWISE, RELU),
        Node("p", "max_pool", ("a",), {**WINDOW, "kernel": (3, 3)}),
        Node("j", "concat", ("b", "p"), {"axis": 1}),
        Node("c", "conv2d", ("j", "wc"), SAME),
        wb=5 * draw(6, 8, 1, 1),
        wc=draw(6, 14, 3, 3),
    )
    after = near(graph, 0.06)
    assert ops(after) == [
        *("quantize", "conv2d_int8", "conv2d_int8", "max_pool_int8", "concat_int8"),
        *("conv2d_int8", "dequantize"),
    ]


def test_fully_connected_layers_take_the_maps_that_were_flattened(near, convolution, draw):
    graph = convolution(
        Node("flat", "reshape", ("a",), {"shape": (1, 8 * 144)}),
        Node("f", "linear", ("flat", "wf", "bf"), {}, RELU),
        Node("g", "linear", ("f", "wg"), {}),
        wf=draw(20, 8 * 144),
        bf=draw(20),
        wg=draw(4, 20),
    )
    after = near(graph, 0.05)
    assert ops(after) == [
        *("quantize", "conv2d_int8", "linear_int8", "reshape", "quantize", "linear_int8")
    ]


def test_channels_without_weights_keep_their_bias(make_graph, ranges_of):
    weight = np.zeros((6, 3, 3, 3), np.float32)
    graph = make_graph(
        Node("a", "conv2d", ("x", "w", "b"), SAME), w=weight, b=np.float32([1, -2, 3, 0, 5, 6])
    )
    after = quantize(graph, ranges_of(graph))
    y = evaluate(after, np.ones((1, 3, 6, 6), np.float32))
    assert np.abs(y[0, :, 0, 0] - graph.constants["b"]).max() < 0.02


def test_what_has_no_meaning_on_bytes_stays(make_graph, draw, ranges_of):
    grouped = {**SAME, "groups": 2}
    graph = make_graph(
        Node("a", "conv2d", ("x", "w"), grouped),
        Node("n", "lrn", ("a",), {"size": 5, "alpha": 1e-4, "beta": 0.75, "k": 2.0}),
        shape=(1, 8, 6, 6),
        w=draw(8, 4, 3, 3),
    )
    assert quantize(graph, ranges_of(graph)).nodes == graph.nodes
