from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from convforge.compiler.kernels import conv_direct, linear
from convforge.compiler.kernels.catalog import select

CONV = {"stride": (1, 1), "dilation": (1, 1), "padding": (0, 0, 0, 0), "groups": 1}
EDGES = (1, 15, 16, 17, 31, 32, 33)  # around whole blocks of 16 outputs


@pytest.fixture
def make_linear(make_layer, draw):
    def make(inputs, outputs, *, bias=True, epilogue=()):
        constants = [draw(outputs, inputs), draw(outputs)][: 2 if bias else 1]
        return make_layer("linear", [(1, inputs)], *constants, epilogue=epilogue)

    return make


def test_every_edge_of_a_block_of_outputs(check_layers, make_linear):
    sizes = product((1, 7, 16, 33), EDGES)
    layers = [
        make_linear(inputs, outputs, bias=i % 2 > 0, epilogue=(("relu",),) if i % 3 else ())
        for i, (inputs, outputs) in enumerate(sizes)
    ]
    check_layers(layers, kernels=[linear.KERNEL] * len(layers))


def test_a_sum_of_very_many_inputs_stays_exact(run_layers, expected, make_layer):
    generator = np.random.default_rng(0)
    sizes = (255, 256, 257, 25_088)
    constants = [generator.random((16, size), np.float32) for size in sizes]
    layers = [make_layer("linear", [(1, w.shape[1])], w) for w in constants]
    inputs = [[generator.random((1, size), np.float32)] for size in sizes]
    for layer, xs, found in zip(layers, inputs, run_layers(layers, inputs), strict=True):
        np.testing.assert_allclose(found, expected(layer, xs), rtol=1e-6)


@pytest.mark.parametrize("leading", [(), (1,), (5,), (2, 3, 4)])
def test_every_leading_axis_is_rows(check_layers, make_layer, draw, leading):
    layers = [
        make_layer("linear", [(*leading, 7)], draw(outputs, 7), draw(outputs))
        for outputs in (1, 16, 17)
    ]
    check_layers(layers, kernels=[linear.KERNEL] * len(layers))


def test_a_convolution_whose_kernel_covers_the_map(check_layers, make_layer, draw):
    layers = [
        make_layer("conv2d", [(1, 3, 4, 5)], draw(outputs, 3, 4, 5), draw(outputs), **CONV)
        for outputs in EDGES
    ]
    check_layers(layers, kernels=[linear.KERNEL] * len(layers))


def test_weights_lie_in_groups_of_64_outputs_the_last_one_filled_with_zeros(make_linear):
    layer = make_linear(3, 81)
    weight, bias = linear.KERNEL.pack(layer)
    assert (weight.shape, bias.shape) == ((3 * 96,), (96,))
    whole, rest = weight[: 3 * 64].reshape(3, 64), weight[3 * 64 :].reshape(3, 32)
    np.testing.assert_array_equal(whole.T, layer.constants[0][:64])
    np.testing.assert_array_equal(rest[:, :17].T, layer.constants[0][64:])
    assert not rest[:, 17:].any()
    assert not bias[81:].any()


@pytest.mark.parametrize(
    ("shape", "weight", "attrs"),
    [
        ((1, 3, 4, 5), (2, 3, 4, 4), CONV),
        ((1, 3, 4, 5), (2, 3, 4, 5), {**CONV, "padding": (0, 0, 0, 1)}),
        ((1, 4, 4, 5), (2, 2, 4, 5), {**CONV, "groups": 2}),
        ((1, 3, 2, 2), (2, 3, 1, 1), {**CONV, "stride": (2, 2)}),
    ],
)
def test_it_refuses_convolutions_that_are_not_one_product(make_layer, draw, shape, weight, attrs):
    layer = make_layer("conv2d", [shape], draw(*weight), **attrs)
    assert linear.KERNEL.refuses(layer) == "more than one position"


def test_it_refuses_other_layers(make_layer):
    layer = make_layer("softmax", [(1, 2, 3, 4)], axis=1)
    assert linear.KERNEL.refuses(layer) == "not a linear layer"


def test_it_is_chosen_over_the_direct_convolution(make_layer, draw):
    layer = make_layer("conv2d", [(1, 3, 4, 5)], draw(2, 3, 4, 5), **CONV)
    assert conv_direct.KERNEL.refuses(layer) is None
    assert select(layer) is linear.KERNEL
