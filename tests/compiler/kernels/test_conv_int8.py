from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from convforge.compiler.backend.target import for_precision, native
from convforge.compiler.kernels import conv_int8
from convforge.compiler.kernels.catalog import select
from convforge.compiler.kernels.family import Layout

KERNEL = conv_int8.KERNEL
LEVELS = for_precision(native(), "int8").levels


@pytest.fixture
def make_conv(make_layer, draw_bytes):
    """A convolution of bytes whose sums spread over the bytes of the result."""

    def make(channels, outputs, size, kernel, *, add=False, table=False, top=255, **attrs):
        attrs = {"stride": (1, 1), "dilation": (1, 1), "padding": (0,) * 4, **attrs}
        weight = draw_bytes(outputs, channels, *kernel, low=-127, high=127)
        spread = 127 * 60 * np.sqrt(weight[0].size)
        constants = [
            weight,
            draw_bytes(outputs, low=-3000, high=3000),
            np.full(outputs, min(32000, np.rint(128 / spread * 2**22)), np.float32)
            + draw_bytes(outputs, high=9),
            draw_bytes(outputs, low=6, high=8),
        ]
        if table:
            constants.append(draw_bytes(256, high=top))
        shape = (1, channels, *size)
        if not add:
            layer = make_layer(
                "conv2d_int8",
                [shape],
                *constants,
                **attrs,
                groups=1,
                zero_in=119,
                scale=0.1,
                zero=0,
                top=top,
            )
            return replace(layer, layouts=(Layout.BYTES,) * 2)
        scale = {"scale": 0.1, "zero": 0, "top": top}
        plain = make_layer(
            "conv2d_int8", [shape], *constants, **attrs, groups=1, zero_in=3, **scale
        )
        constants[2] = np.minimum(16 * constants[2], 32767)
        layer = make_layer(
            "conv2d_add_int8",
            [shape, plain.output],
            *constants,
            **attrs,
            groups=1,
            zero_in=3,
            **scale,
            addend=3977,
        )
        return replace(layer, layouts=(Layout.BYTES,) * 3)

    return make


@pytest.fixture
def check_bits(run_layers, expected, draw_bytes):
    """Layers give the very bytes that they mean, and not all of them the same."""

    def check(layers, **options):
        inputs = [[draw_bytes(*shape) for shape in layer.inputs] for layer in layers]
        kernels = [select(layer) for layer in layers]
        results = run_layers(layers, inputs, kernels=kernels, **options)
        for layer, xs, result in zip(layers, inputs, results, strict=True):
            np.testing.assert_array_equal(result, expected(layer, xs), str(layer.node))
            assert len(np.unique(result)) > 2, layer.node

    return check


@pytest.mark.parametrize("level", LEVELS, ids=lambda level: level.name)
def test_every_level_gives_the_same_bits(make_conv, check_bits, level, has_level):
    if not has_level(level):
        pytest.skip(f"this CPU lacks {level.name}")
    same = {"padding": (1, 1, 1, 1)}
    layers = [
        make_conv(channels, outputs, (5, columns), (3, 3), add=add, table=table, top=top, **same)
        for channels, outputs, columns, add, table, top in (
            (3, 32, 29, False, False, 255),
            (64, 16, 15, True, False, 127),
            (65, 33, 14, False, True, 127),
            (24, 48, 7, True, True, 255),
            (130, 64, 3, True, False, 255),
            (7, 5, 2, False, True, 255),
            (40, 70, 9, False, False, 127),
        )
    ]
    layers += [make_conv(66, 40, (9, 10), (1, 1)), make_conv(32, 96, (7, 7), (1, 1), add=True)]
    check_bits(layers, flags=level.flags)


def test_every_geometry(make_conv, check_bits):
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
    check_bits([*layers, make_conv(64, 32, (130, 131), (3, 3), padding=(1,) * 4)])  # chunks


def test_it_takes_one_group(make_layer, draw_bytes):
    attrs = {"stride": (1, 1), "dilation": (1, 1), "padding": (0,) * 4}
    numbers = [draw_bytes(8) for _ in range(3)]
    layer = make_layer(
        "conv2d_int8",
        [(1, 8, 5, 5)],
        draw_bytes(8, 4, 3, 3),
        *numbers,
        **attrs,
        groups=2,
        zero_in=0,
        scale=0.1,
        zero=0,
        top=255,
    )
    assert KERNEL.refuses(layer) == "more than one group"


def test_weights_take_a_byte_each(make_conv):
    packed, more = KERNEL.pack(make_conv(64, 32, (8, 8), (3, 3)))
    assert packed.nbytes == 64 * 32 * 9
    assert more.nbytes == 32 * (4 + 4 + 2)
