from __future__ import annotations

from dataclasses import replace

import pytest

from convforge.compiler.backend.target import for_precision, native
from convforge.compiler.kernels import depthwise_bf16
from convforge.compiler.kernels.family import Layout

KERNEL = depthwise_bf16.KERNEL


@pytest.fixture
def make_filter(make_layer, draw):
    def make(channels, size, kernel, *, epilogue=(), bias=True, **attrs):
        attrs = {"stride": (1, 1), "dilation": (1, 1), "padding": (0,) * 4, **attrs}
        constants = [draw(channels, 1, *kernel), draw(channels)]
        layer = make_layer(
            "conv2d",
            [(1, channels, *size)],
            *(constants if bias else constants[:1]),
            **attrs,
            groups=channels,
            epilogue=epilogue,
        )
        return replace(layer, layouts=(Layout.BF16, Layout.BF16))

    return make


@pytest.mark.parametrize(
    "level", for_precision(native(), "bf16").levels, ids=lambda level: level.name
)
def test_every_level_gives_what_is_meant(make_filter, check_bf16, level, has_level):
    if not has_level(level):
        pytest.skip(f"this CPU lacks {level.name}")
    clip, silu = (("clip", 0.0, 6.0),), (("silu",),)
    layers = [
        make_filter(32, (7, 7), (3, 3), padding=(1,) * 4, epilogue=clip),
        make_filter(40, (14, 15), (3, 3), padding=(1,) * 4, epilogue=silu),
        make_filter(33, (9, 22), (3, 3), stride=(2, 2), padding=(0, 1, 1, 0), bias=False),
        make_filter(64, (8, 14), (5, 5), padding=(2,) * 4, epilogue=(("relu",),)),
        make_filter(5, (15, 29), (5, 5), stride=(2, 2), padding=(1, 1, 2, 2)),
        make_filter(96, (6, 8), (7, 7), padding=(3,) * 4),
        make_filter(32, (1, 1), (3, 3), padding=(1,) * 4),
        make_filter(32, (5, 9), (2, 4), stride=(1, 2), padding=(1, 0, 0, 3)),
        make_filter(70, (10, 21), (1, 1)),
    ]
    check_bf16(layers, flags=level.flags, kernels=[KERNEL] * len(layers))


def test_it_refuses_other_convolutions(make_filter, make_layer, draw):
    attrs = {"stride": (1, 1), "dilation": (1, 1), "padding": (0,) * 4}
    whole = make_layer("conv2d", [(1, 8, 5, 5)], draw(8, 8, 3, 3), **attrs, groups=1)
    assert KERNEL.refuses(whole) == "not one filter a channel"
    assert KERNEL.refuses(make_filter(4, (5, 5), (3, 3))) == "few channels"
    assert KERNEL.refuses(make_filter(8, (9, 9), (3, 3), dilation=(2, 2)))
    assert KERNEL.refuses(make_filter(8, (20, 20), (9, 9)))
