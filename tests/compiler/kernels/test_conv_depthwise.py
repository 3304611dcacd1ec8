from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from convforge.compiler.backend.target import native
from convforge.compiler.kernels import conv_depthwise
from convforge.compiler.kernels.catalog import choices
from convforge.compiler.kernels.family import Layout

KERNEL = conv_depthwise.KERNEL


@pytest.fixture
def make_depthwise(make_layer, draw):
    def make(channels, size, kernel, *, bias=True, epilogue=(), **attrs):
        attrs = {"stride": (1, 1), "dilation": (1, 1), "padding": (0,) * 4, **attrs}
        constants = [draw(channels, 1, *kernel), *([draw(channels)] if bias else [])]
        layer = make_layer(
            "conv2d",
            [(1, channels, *size)],
            *constants,
            epilogue=epilogue,
            **attrs,
            groups=channels,
        )
        return replace(layer, layouts=(Layout.BLOCKED, Layout.BLOCKED))

    return make


def geometries():
    """Kernel, stride, dilation and padding in every combination that has an output at 9x10."""
    kernels, strides, dilations = (
        ((3, 3), (5, 2), (1, 4)),
        ((1, 1), (2, 2), (1, 3)),
        ((1, 1), (2, 1)),
    )
    paddings = ((0, 0, 0, 0), (1, 1, 1, 1), (2, 0, 1, 3), (0, 4, 5, 0))
    for kernel, stride, dilation, padding in product(kernels, strides, dilations, paddings):
        yield kernel, {"stride": stride, "dilation": dilation, "padding": padding}


def test_every_geometry(check_layers, make_depthwise):
    layers = [
        make_depthwise((3, 16, 17)[i % 3], (9, 10), kernel, bias=i % 4 > 0, **attrs)
        for i, (kernel, attrs) in enumerate(geometries())
    ]
    check_layers(layers, kernels=[KERNEL] * len(layers))


@pytest.mark.parametrize("level", native().levels, ids=lambda level: level.name)
def test_edges_of_tiles_and_chunks_hold_at_every_level(
    check_layers, make_depthwise, level, has_level
):
    if not has_level(level):
        pytest.skip(f"this CPU lacks {level.name}")
    same = {"padding": (1, 1, 1, 1)}
    steps = (("clip", -0.5, 0.75),)
    layers = [
        make_depthwise(17, (3, columns), (3, 3), epilogue=steps, **same)
        for columns in (1, 2, 3, 5, 6, 7, 13, 14, 15, 28, 29)
    ]
    layers += [make_depthwise(16, (40, 30), (3, 3), epilogue=(("silu",),), **same)]
    layers += [make_depthwise(16, (41, 41), (5, 5), stride=(2, 2), padding=(2,) * 4)]
    layers += [make_depthwise(17, (90, 89), (3, 3), **same)]  # several chunks
    check_layers(layers, kernels=[KERNEL] * len(layers), flags=level.flags)


def test_it_is_cheaper_than_a_dense_one_of_zeros(make_depthwise):
    layer = make_depthwise(64, (28, 28), (3, 3), padding=(1, 1, 1, 1))
    costs = {choice.layouts: cost for choice, cost in choices(layer)}
    assert KERNEL.cost(layer) < min(
        cost
        for layouts, cost in costs.items()
        if layouts != layer.layouts and Layout.BF16 not in layouts
    )


def test_it_takes_one_filter_a_channel_only(make_layer, make_depthwise, draw):
    attrs = make_depthwise(4, (5, 5), (3, 3)).node.attrs
    layer = make_layer("conv2d", [(1, 4, 5, 5)], draw(8, 1, 3, 3), **attrs)
    assert KERNEL.refuses(layer) == "not one filter a channel"
    assert KERNEL.refuses(make_layer("add", [(1, 4, 2, 2)] * 2)) == "not a convolution"
