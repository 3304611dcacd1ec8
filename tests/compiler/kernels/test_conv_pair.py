from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from convforge.compiler.backend.target import native
from convforge.compiler.kernels import conv_pair
from convforge.compiler.kernels.catalog import select
from convforge.compiler.kernels.family import Layout

KERNEL = conv_pair.KERNEL


@pytest.fixture
def make_pair(make_layer, draw):
    def make(
        *sizes, kernel=(3, 3), mix=(1, 1), layout=Layout.BLOCKED, between=(), epilogue=(), **attrs
    ):
        channels, wide, size = sizes
        attrs = {"stride": (1, 1), "dilation": (1, 1), "padding": (1,) * 4, **attrs}
        mixing = {"mix_stride": (1, 1), "mix_dilation": (1, 1), "mix_padding": (0,) * 4}
        attrs = mixing | attrs
        constants = draw(wide, channels, *mix), draw(wide), draw(wide, 1, *kernel), draw(wide)
        layer = make_layer(
            "conv2d_pair", [(1, channels, *size)], *constants, epilogue=epilogue, **attrs
        )
        node = replace(layer.node, between=between)
        return replace(layer, node=node, layouts=(layout, Layout.BLOCKED))

    return make


def geometries():
    """Kernel, stride, dilation and padding in every combination that has an output at 9x10."""
    paddings = ((0, 0, 0, 0), (1, 1, 1, 1), (2, 0, 1, 3), (0, 4, 5, 0))
    return product(((3, 3), (5, 2), (1, 4)), ((1, 1), (2, 2), (1, 2)), ((1, 1), (2, 1)), paddings)


def test_every_geometry(check_layers, make_pair):
    layers = [
        make_pair(
            (3, 16, 17)[i % 3],
            (16, 33, 48)[i % 3],
            (9, 10),
            kernel=kernel,
            between=(("relu",),) if i % 2 else (("silu",),),
            stride=stride,
            dilation=dilation,
            padding=padding,
        )
        for i, (kernel, stride, dilation, padding) in enumerate(geometries())
    ]
    check_layers(layers, kernels=[KERNEL] * len(layers))


def test_the_first_convolution_may_be_any(check_layers, make_pair):
    strides, dilations = ((1, 1), (2, 2), (3, 5)), ((1, 1), (2, 1))
    paddings = ((0, 0, 0, 0), (1, 1, 1, 1), (2, 0, 1, 3))
    layers = [
        make_pair(
            channels,
            33,
            (17, 19),
            mix=(3, 2),
            layout=layout,
            between=(("relu",),),
            mix_stride=stride,
            mix_dilation=dilation,
            mix_padding=padding,
        )
        for channels, layout in ((3, Layout.PLANAR), (17, Layout.BLOCKED), (5, Layout.BLOCKED))
        for stride, dilation, padding in product(strides, dilations, paddings)
    ]
    check_layers(layers, kernels=[KERNEL] * len(layers))


@pytest.mark.parametrize("level", native().levels, ids=lambda level: level.name)
def test_edges_of_tiles_and_strips_hold_at_every_level(check_layers, make_pair, level, has_level):
    if not has_level(level):
        pytest.skip(f"this CPU lacks {level.name}")
    steps = {"between": (("clip", 0.0, 6.0),), "epilogue": (("hard_swish",),)}
    layers = [
        make_pair(17, 33, (3, columns), **steps)
        for columns in (1, 2, 3, 5, 6, 7, 13, 14, 15, 28, 29)
    ]
    layers += [make_pair(16, 48, (90, 89), stride=(2, 2))]  # several strips of each block
    layers += [make_pair(3, 20, (61, 60), kernel=(5, 5), padding=(2,) * 4, **steps)]
    layers += [make_pair(3, 33, (64, 90), mix=(3, 3), mix_stride=(2, 2), layout=Layout.PLANAR)]
    layers += [
        make_pair(8, 16, (300, 40), kernel=(1, 1), stride=(2, 2), padding=(0,) * 4)
    ]  # rows unread
    check_layers(layers, kernels=[KERNEL] * len(layers), flags=level.flags)


def test_strips_are_shared_out_evenly_and_fit_their_memory(make_pair):
    layer = make_pair(16, 96, (112, 112), stride=(2, 2))
    pair = conv_pair._Pair(layer)
    assert pair.strip * -(-56 // pair.strip) < 56 + pair.strip
    assert KERNEL.workspace(layer) <= conv_pair._STRIP_FLOATS  # the first one reads x itself
    assert KERNEL.units(layer) == -(-56 // pair.strip) * 3


def test_it_takes_pairs_and_nothing_else(make_pair, make_layer):
    assert select(make_pair(8, 32, (5, 5))) is KERNEL
    refused = KERNEL.refuses(make_layer("add", [(1, 4, 2, 2)] * 2))
    assert refused == "no pair of convolutions"
