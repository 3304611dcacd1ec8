from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from convforge.compiler.kernels import conv_direct

CASES = 32  # convolutions a library


@st.composite
def geometries(draw):
    """(input shape, weight shape, attributes) of a convolution that has an output."""
    groups = draw(st.sampled_from([1, 1, 1, 2, 3, 4]))
    fan_in, fan_out = draw(st.integers(1, 20 // groups)), draw(st.integers(1, 20 // groups))
    depthwise = draw(st.booleans())
    kernel, stride, dilation = (
        draw(st.tuples(st.integers(1, most), st.integers(1, most))) for most in (7, 3, 2)
    )
    size = draw(st.tuples(st.integers(1, 18), st.integers(1, 18)))
    padding = list(draw(st.tuples(*[st.integers(0, 8)] * 4)))
    for axis in (0, 1):  # grown until the kernel fits
        missing = dilation[axis] * (kernel[axis] - 1) + 1 - size[axis] - padding[axis]
        padding[axis + 2] = max(padding[axis + 2], missing)
    fan_in = 1 if depthwise else fan_in
    attrs = {"stride": stride, "dilation": dilation, "padding": tuple(padding), "groups": groups}
    return (1, groups * fan_in, *size), (groups * fan_out, fan_in, *kernel), attrs


@pytest.fixture
def make_conv(make_layer, draw):
    def make(shape, weight, attrs, *, bias=True, epilogue=()):
        constants = [draw(*weight), draw(weight[0])] if bias else [draw(*weight)]
        return make_layer("conv2d", [shape], *constants, epilogue=epilogue, **attrs)

    return make


def all_direct(layers):
    return [conv_direct.KERNEL] * len(layers)


@settings(
    deadline=None,
    max_examples=3,
    derandomize=True,
    phases=[Phase.generate],  # a failure names its layer; shrinking would compile for minutes
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(cases=st.lists(geometries(), min_size=CASES, max_size=CASES))
def test_any_geometry_gives_the_convolution(check_layers, make_conv, cases):
    layers = [
        make_conv(*case, bias=i % 3 > 0, epilogue=(("relu",),) if i % 2 else ())
        for i, case in enumerate(cases)
    ]
    check_layers(layers, kernels=all_direct(layers))


def test_every_side_of_the_padding_is_its_own(check_layers, make_conv):
    layers = [
        make_conv(
            (1, 2, 5, 4),
            (3, 2, 3, 3),
            {"stride": (1, 2), "dilation": (1, 1), "padding": padding, "groups": 1},
        )
        for padding in product((0, 2), repeat=4)
    ]
    check_layers(layers, kernels=all_direct(layers))


def test_padding_wider_than_the_kernel_gives_the_bias_there(run_layers, make_conv, draw):
    attrs = {"stride": (2, 2), "dilation": (1, 1), "padding": (5, 5, 5, 5), "groups": 1}
    layer = make_conv((1, 1, 1, 1), (4, 1, 1, 1), attrs)  # even columns only, the image is at 5
    (result,) = run_layers([layer], [[draw(1, 1, 1, 1)]], kernels=all_direct([layer]))
    bias = layer.constants[1][:, None, None]
    np.testing.assert_array_equal(result, np.broadcast_to(bias, (1, 4, 6, 6)))


def test_the_kernel_is_not_flipped(run_layers, make_layer):
    weight = np.arange(9, dtype=np.float32).reshape(1, 1, 3, 3)
    attrs = {"stride": (1, 1), "dilation": (1, 1), "padding": (0, 0, 0, 0), "groups": 1}
    layer = make_layer("conv2d", [(1, 1, 3, 3)], weight, **attrs)
    image = np.zeros((1, 1, 3, 3), np.float32)
    image[0, 0, 0, 1] = 1.0
    (result,) = run_layers([layer], [[image]], kernels=all_direct([layer]))
    assert result.item() == weight[0, 0, 0, 1]


def test_it_takes_convolutions_only(make_layer, draw):
    layer = make_layer("linear", [(1, 4)], draw(3, 4))
    assert conv_direct.KERNEL.refuses(layer) == "not a convolution"


def test_it_costs_its_multiplications(make_conv):
    attrs = {"stride": (1, 1), "dilation": (1, 1), "padding": (1, 1, 1, 1), "groups": 2}
    layer = make_conv((1, 4, 5, 6), (8, 2, 3, 3), attrs)
    assert conv_direct.KERNEL.cost(layer) == 8 * 5 * 6 * 2 * 3 * 3
