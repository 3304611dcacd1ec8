"""Both convolution families against the reference: the direct one and its fast twin."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from convforge.compiler.backend.target import native
from convforge.compiler.kernels import conv_direct, conv_tiled
from convforge.compiler.kernels.catalog import select

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


@pytest.fixture(params=[conv_direct.KERNEL, conv_tiled.KERNEL], ids=lambda kernel: kernel.name)
def kernel(request):
    return request.param


@settings(
    deadline=None,
    max_examples=3,
    derandomize=True,
    phases=[Phase.generate],  # a failure names its layer; shrinking would compile for minutes
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(cases=st.lists(geometries(), min_size=CASES, max_size=CASES))
def test_any_geometry_gives_the_convolution(check_layers, make_conv, kernel, cases):
    layers = [
        make_conv(*case, bias=i % 3 > 0, epilogue=(("relu",),) if i % 2 else ())
        for i, case in enumerate(cases)
    ]
    check_layers(layers, kernels=[kernel] * len(layers))


def test_every_side_of_the_padding_is_its_own(check_layers, make_conv, kernel):
    layers = [
        make_conv(
            (1, 2, 5, 4),
            (3, 2, 3, 3),
            {"stride": (1, 2), "dilation": (1, 1), "padding": padding, "groups": 1},
        )
        for padding in product((0, 2), repeat=4)
    ]
    check_layers(layers, kernels=[kernel] * len(layers))


def test_padding_wider_than_the_kernel_gives_the_bias_there(run_layers, make_conv, draw, kernel):
    attrs = {"stride": (2, 2), "dilation": (1, 1), "padding": (5, 5, 5, 5), "groups": 1}
    layer = make_conv((1, 1, 1, 1), (4, 1, 1, 1), attrs)  # even columns only, the image is at 5
    (result,) = run_layers([layer], [[draw(1, 1, 1, 1)]], kernels=[kernel])
    bias = layer.constants[1][:, None, None]
    np.testing.assert_array_equal(result, np.broadcast_to(bias, (1, 4, 6, 6)))


def test_the_kernel_is_not_flipped(run_layers, make_layer, kernel):
    weight = np.arange(9, dtype=np.float32).reshape(1, 1, 3, 3)
    attrs = {"stride": (1, 1), "dilation": (1, 1), "padding": (0, 0, 0, 0), "groups": 1}
    layer = make_layer("conv2d", [(1, 1, 3, 3)], weight, **attrs)
    image = np.zeros((1, 1, 3, 3), np.float32)
    image[0, 0, 0, 1] = 1.0
    (result,) = run_layers([layer], [[image]], kernels=[kernel])
    assert result.item() == weight[0, 0, 0, 1]


def test_both_take_convolutions_only(make_layer, draw, kernel):
    layer = make_layer("linear", [(1, 4)], draw(3, 4))
    assert kernel.refuses(layer) == "not a convolution"


def edges():
    """Channels around the panels of 16 and columns around the tiles of 2, 6 and 14 pixels."""
    same = {"stride": (1, 1), "dilation": (1, 1), "padding": (1, 1, 1, 1), "groups": 1}
    alone = {**same, "padding": (0, 0, 0, 0)}
    for maps in (1, 15, 16, 17, 31, 32, 33, 48, 49, 70):
        yield (1, 3, 4, 9), (maps, 3, 3, 3), same
    for columns in (1, 2, 3, 5, 6, 7, 12, 13, 14, 15, 27, 28, 29, 43):
        yield (1, 2, 2, columns), (33, 2, 3, 3), same
        yield (1, 5, 1, columns), (17, 5, 1, 1), alone
    for groups in (2, 3):
        yield (1, 4 * groups, 5, 15), (17 * groups, 4, 3, 3), {**same, "groups": groups}
    yield (1, 6, 9, 31), (20, 6, 5, 5), {**same, "stride": (2, 2), "padding": (2, 2, 2, 2)}


@pytest.mark.parametrize("level", native().levels, ids=lambda level: level.name)
def test_edges_of_panels_and_tiles_hold_at_every_level(check_layers, make_conv, level, has_level):
    if not has_level(level):
        pytest.skip(f"this CPU lacks {level.name}")
    layers = [make_conv(*case, epilogue=(("relu",),)) for case in edges()]
    kernels = [conv_tiled.KERNEL] * len(layers)
    check_layers(layers, kernels=kernels, flags=level.flags)


def test_wide_layers_go_to_tiles_and_depthwise_ones_do_not(make_conv):
    attrs = {"stride": (1, 1), "dilation": (1, 1), "padding": (1, 1, 1, 1)}
    wide = make_conv((1, 64, 28, 28), (128, 64, 3, 3), {**attrs, "groups": 1})
    depthwise = make_conv((1, 64, 28, 28), (64, 1, 3, 3), {**attrs, "groups": 64})
    assert select(wide) is conv_tiled.KERNEL
    assert select(depthwise) is conv_direct.KERNEL
