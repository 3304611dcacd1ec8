from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from convforge.compiler.backend.target import for_precision, native
from convforge.compiler.kernels import depthwise_int8
from convforge.compiler.kernels.family import Layout

KERNEL = depthwise_int8.KERNEL
LEVELS = for_precision(native(), "int8").levels


@pytest.fixture
def make_depthwise(make_layer, draw_bytes):
    def make(channels, size, kernel, *, table=False, top=255, **attrs):
        attrs = {"stride": (1, 1), "dilation": (1, 1), "padding": (0,) * 4, **attrs}
        constants = [
            draw_bytes(channels, 1, *kernel, low=-127, high=127),
            draw_bytes(channels, low=0, high=30000),
            draw_bytes(channels, low=2048, high=4095),
            draw_bytes(channels, low=3, high=5),
            *([draw_bytes(256)] if table else []),
        ]
        layer = make_layer(
            "conv2d_int8",
            [(1, channels, *size)],
            *constants,
            **attrs,
            groups=channels,
            zero_in=130,
            scale=0.1,
            zero=0,
            top=top,
        )
        return replace(layer, layouts=(Layout.BYTES, Layout.BYTES))

    return make


@pytest.mark.parametrize("level", LEVELS, ids=lambda level: level.name)
def test_every_level_gives_the_same_bits(
    make_depthwise, run_layers, expected, draw_bytes, level, has_level
):
    if not has_level(level):
        pytest.skip(f"this CPU lacks {level.name}")
    layers = [
        make_depthwise(channels, (rows, columns), kernel, table=table, stride=stride, padding=edge)
        for channels, rows, columns, kernel, stride, edge, table in (
            (64, 9, 17, (3, 3), (1, 1), (1, 1, 1, 1), False),
            (17, 8, 8, (3, 3), (2, 2), (1, 1, 1, 1), True),
            (96, 7, 7, (5, 5), (1, 1), (2, 2, 2, 2), True),
            (40, 14, 15, (5, 5), (2, 2), (1, 1, 2, 2), False),
            (130, 3, 5, (3, 3), (1, 1), (0, 0, 0, 0), False),
            (5, 9, 9, (7, 7), (1, 1), (3, 3, 3, 3), False),
            (64, 6, 31, (1, 4), (1, 3), (0, 2, 0, 1), False),
        )
    ]
    layers.append(make_depthwise(33, (6, 9), (3, 3), top=127))
    inputs = [[draw_bytes(*layer.inputs[0])] for layer in layers]
    results = run_layers(layers, inputs, kernels=[KERNEL] * len(layers), flags=level.flags)
    for layer, xs, result in zip(layers, inputs, results, strict=True):
        np.testing.assert_array_equal(result, expected(layer, xs), str(layer.node))
        assert len(np.unique(result)) > 50


def test_it_refuses_what_it_is_not_made_for(make_depthwise, make_layer, draw_bytes):
    assert KERNEL.refuses(make_depthwise(8, (9, 9), (3, 3))) is None
    assert KERNEL.refuses(make_depthwise(8, (9, 9), (9, 9))) == "a large filter"
    holes = make_depthwise(8, (9, 9), (3, 3), dilation=(2, 2))
    assert KERNEL.refuses(holes) == "cells between the filter's"
    dense = make_layer(
        "conv2d_int8",
        [(1, 8, 5, 5)],
        draw_bytes(8, 8, 3, 3),
        *(draw_bytes(8) for _ in range(3)),
        stride=(1, 1),
        dilation=(1, 1),
        padding=(0,) * 4,
        groups=1,
        zero_in=0,
        scale=0.1,
        zero=0,
        top=255,
    )
    assert KERNEL.refuses(dense) == "not one filter a channel"
