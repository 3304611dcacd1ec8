from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from convforge.compiler.backend.target import for_precision, native
from convforge.compiler.kernels import conv_bf16
from convforge.compiler.kernels.family import Layout

KERNEL = conv_bf16.KERNEL
SAME = {"padding": (1, 1, 1, 1)}


@pytest.fixture
def make_conv(make_layer, draw):
    def make(channels, outputs, size, kernel, *, add=False, epilogue=(), bias=True, **attrs):
        attrs = {"stride": (1, 1), "dilation": (1, 1), "padding": (0,) * 4, **attrs}
        weight = draw(outputs, channels, *kernel) / np.float32(np.sqrt(channels * np.prod(kernel)))
        constants = [weight, draw(outputs)] if bias else [weight]
        plain = make_layer(
            "conv2d", [(1, channels, *size)], *constants, **attrs, groups=1, epilogue=epilogue
        )
        if not add:
            return replace(plain, layouts=(Layout.BF16,) * 2)
        layer = make_layer(
            "conv2d_add",
            [(1, channels, *size), plain.output],
            *constants,
            **attrs,
            groups=1,
            epilogue=epilogue,
        )
        return replace(layer, layouts=(Layout.BF16,) * 3)

    return make


@pytest.mark.parametrize(
    "level", for_precision(native(), "bf16").levels, ids=lambda level: level.name
)
def test_every_level_gives_what_is_meant(make_conv, check_bf16, level, has_level):
    if not has_level(level):
        pytest.skip(f"this CPU lacks {level.name}")
    relu, clip, silu = (("relu",),), (("clip", 0.0, 6.0),), (("silu",),)
    layers = [
        make_conv(channels, outputs, (5, columns), (3, 3), add=add, epilogue=steps, **SAME)
        for channels, outputs, columns, add, steps in (
            (3, 32, 29, False, relu),
            (1, 16, 15, True, ()),
            (32, 33, 14, False, clip),
            (24, 48, 7, True, silu),
            (130, 64, 3, True, relu),
            (8, 5, 2, False, (("affine", 2.0, 1.0), ("relu",))),
        )
    ]
    layers += [make_conv(66, 40, (9, 10), (1, 1), bias=False), make_conv(32, 96, (7, 7), (1, 1))]
    check_bf16(layers, flags=level.flags, kernels=[KERNEL] * len(layers))


def test_every_geometry(make_conv, check_bf16):
    geometries = [
        ((3, 3), {"stride": (2, 2), "padding": (1, 1, 1, 1)}),
        ((7, 7), {"stride": (2, 2), "padding": (3, 3, 3, 3)}),
        ((5, 2), {"stride": (1, 3), "padding": (2, 0, 1, 3)}),
        ((1, 1), {"stride": (2, 2)}),
        ((3, 3), {"dilation": (2, 2), "padding": (2, 2, 2, 2)}),
        ((2, 2), {"stride": (5, 5), "padding": (0, 4, 5, 0)}),
        ((11, 11), {"stride": (4, 4), "padding": (2, 2, 2, 2)}),
    ]
    layers = [
        make_conv(channels, 20, (17, 19), kernel, **attrs)
        for kernel, attrs in geometries
        for channels in (3, 70)
    ]
    layers += [make_conv(64, 32, (130, 131), (3, 3), **SAME)]  # chunks
    check_bf16(layers, kernels=[KERNEL] * len(layers))


def test_it_refuses_what_idle_halves_of_words_would_spoil(make_conv, make_layer, draw):
    attrs = {"stride": (1, 1), "dilation": (1, 1), "padding": (0,) * 4}
    grouped = make_layer("conv2d", [(1, 8, 5, 5)], draw(8, 4, 3, 3), **attrs, groups=2)
    assert KERNEL.refuses(grouped) == "more than one group"
    assert KERNEL.refuses(make_conv(7, 8, (5, 5), (1, 1))) == "an odd number of channels"
    assert KERNEL.refuses(make_conv(8, 4, (5, 5), (1, 1))) == "a result of few channels"


def test_weights_take_two_bytes_each(make_conv):
    packed, start = KERNEL.pack(make_conv(64, 32, (8, 8), (3, 3)))
    assert packed.nbytes == 2 * 64 * 32 * 9
    assert start.nbytes == 4 * 32
