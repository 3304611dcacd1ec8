"""The convolution families against the reference: the direct one and its fast twins."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from convforge.compiler.backend.target import native
from convforge.compiler.kernels import conv_blocked, conv_direct
from convforge.compiler.kernels.family import Layout

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


DIRECT = conv_direct.KERNEL, (Layout.PLANAR, Layout.PLANAR)
BLOCKED = conv_blocked.KERNEL, (Layout.BLOCKED, Layout.BLOCKED)
FROM_PLANAR = conv_blocked.KERNEL, (Layout.PLANAR, Layout.BLOCKED)


@pytest.fixture(params=[DIRECT, BLOCKED, FROM_PLANAR], ids=["direct", "blocked", "from_planar"])
def family(request):
    """A kernel and the layouts in which it is tried."""
    return request.param


def laid_out(layers, family):
    """The layers in these layouts, those that the kernel does not take so in the ones it knows."""
    kernel, (first, *_) = family
    known = [kernel.layouts(layer) for layer in layers]
    return [
        replace(layer, layouts=next((row for row in rows if row[0] is first), rows[0]))
        for layer, rows in zip(layers, known, strict=True)
    ]


@pytest.fixture
def check(check_layers):
    def check(layers, family, *, flags=()):
        kernels = [family[0]] * len(layers)
        check_layers(laid_out(layers, family), kernels=kernels, flags=flags)

    return check


@settings(
    deadline=None,
    max_examples=3,
    derandomize=True,
    phases=[Phase.generate],  # a failure names its layer; shrinking would compile for minutes
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(cases=st.lists(geometries(), min_size=CASES, max_size=CASES))
def test_any_geometry_gives_the_convolution(check, make_conv, family, cases):
    layers = [
        make_conv(*case, bias=i % 3 > 0, epilogue=(("relu",),) if i % 2 else ())
        for i, case in enumerate(cases)
    ]
    check(layers, family)


def test_every_side_of_the_padding_is_its_own(check, make_conv, family):
    layers = [
        make_conv(
            (1, 2, 5, 4),
            (3, 2, 3, 3),
            {"stride": (1, 2), "dilation": (1, 1), "padding": padding, "groups": 1},
        )
        for padding in product((0, 2), repeat=4)
    ]
    check(layers, family)


def test_padding_wider_than_the_kernel_gives_the_bias_there(run_layers, make_conv, draw, family):
    attrs = {"stride": (2, 2), "dilation": (1, 1), "padding": (5, 5, 5, 5), "groups": 1}
    layer = make_conv((1, 1, 1, 1), (4, 1, 1, 1), attrs)  # even columns only, the image is at 5
    layers = laid_out([layer], family)
    (result,) = run_layers(layers, [[draw(1, 1, 1, 1)]], kernels=[family[0]])
    bias = layer.constants[1][:, None, None]
    np.testing.assert_array_equal(result, np.broadcast_to(bias, (1, 4, 6, 6)))


def test_the_kernel_is_not_flipped(run_layers, make_layer, family):
    weight = np.arange(9, dtype=np.float32).reshape(1, 1, 3, 3)
    attrs = {"stride": (1, 1), "dilation": (1, 1), "padding": (0, 0, 0, 0), "groups": 1}
    layer = make_layer("conv2d", [(1, 1, 3, 3)], weight, **attrs)
    image = np.zeros((1, 1, 3, 3), np.float32)
    image[0, 0, 0, 1] = 1.0
    (result,) = run_layers(laid_out([layer], family), [[image]], kernels=[family[0]])
    assert result.item() == weight[0, 0, 0, 1]


def test_an_addend_comes_before_the_epilogue(check, make_layer, draw, family):
    layers = []
    for maps, size, steps in (
        (35, (5, 17), (("relu",),)),
        (16, (8, 8), ()),
        (24, (9, 7), ()),
        (4, (3, 3), (("silu",),)),
    ):
        attrs = {"stride": (1, 1), "dilation": (1, 1), "padding": (1, 1, 1, 1), "groups": 1}
        shapes, constants = [(1, 9, *size), (1, maps, *size)], [draw(maps, 9, 3, 3), draw(maps)]
        layers.append(make_layer("conv2d_add", shapes, *constants, epilogue=steps, **attrs))
    check(layers, family)


def test_they_take_convolutions_only(make_layer, draw, family):
    layer = make_layer("linear", [(1, 4)], draw(3, 4))
    assert family[0].refuses(layer) == "not a convolution"


def edges():
    """Channels around the panels of 16 and columns around the tiles of 2, 6 and 14 pixels."""
    same = {"stride": (1, 1), "dilation": (1, 1), "padding": (1, 1, 1, 1), "groups": 1}
    alone = {**same, "padding": (0, 0, 0, 0)}
    for maps in (1, 8, 9, 15, 16, 17, 24, 25, 31, 32, 33, 40, 48, 49, 70):
        yield (1, 3, 4, 9), (maps, 3, 3, 3), same
    for columns in (1, 2, 3, 5, 6, 7, 12, 13, 14, 15, 27, 28, 29, 43):
        yield (1, 2, 2, columns), (33, 2, 3, 3), same
        yield (1, 5, 1, columns), (17, 5, 1, 1), alone
    for groups in (2, 3):
        yield (1, 4 * groups, 5, 15), (17 * groups, 4, 3, 3), {**same, "groups": groups}
    for fan_in in (15, 16, 17, 33):
        yield (1, fan_in, 6, 8), (33, fan_in, 3, 3), {**same, "stride": (2, 1)}
    for stride in (1, 3), (3, 4), (2, 5), (5, 2):  # the tiles' own steps end at 4
        yield (1, 5, 11, 37), (24, 5, 3, 3), {**same, "stride": stride}
        yield (1, 5, 11, 37), (24, 5, 2, 2), {**alone, "stride": stride, "dilation": (2, 1)}
    yield (1, 160, 40, 40), (32, 160, 3, 3), same  # several chunks of rows
    yield (1, 6, 9, 31), (20, 6, 5, 5), {**same, "stride": (2, 2), "padding": (2, 2, 2, 2)}


@pytest.mark.parametrize("family", [BLOCKED, FROM_PLANAR], ids=["blocked", "from_planar"])
@pytest.mark.parametrize("level", native().levels, ids=lambda level: level.name)
def test_edges_of_panels_and_tiles_hold_at_every_level(check, make_conv, level, family, has_level):
    if not has_level(level):
        pytest.skip(f"this CPU lacks {level.name}")
    layers = [make_conv(*case, epilogue=(("relu",),)) for case in edges()]
    check(layers, family, flags=level.flags)


def test_epilogues_are_done_in_and_behind_the_tiles(check, make_conv, family):
    attrs = {"stride": (1, 1), "dilation": (1, 1), "padding": (1, 1, 1, 1), "groups": 1}
    epilogues = [
        (("clip", -0.5, 0.75),),
        (("silu",),),
        (("relu",), ("affine", 0.5, 0.25)),
    ]
    layers = [make_conv((1, 9, 5, 17), (35, 9, 3, 3), attrs, epilogue=steps) for steps in epilogues]
    check(layers, family)
