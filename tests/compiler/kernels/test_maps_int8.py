from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from convforge.compiler.backend.target import for_precision, native
from convforge.compiler.kernels import maps_int8
from convforge.compiler.kernels.family import Layout

KERNEL = maps_int8.KERNEL
LEVELS = for_precision(native(), "int8").levels
B, P, K = Layout.BYTES, Layout.PLANAR, Layout.BLOCKED
SCALE = {"scale": 0.037, "zero": 101, "top": 255}
POOL = {"stride": (2, 2), "dilation": (1, 1), "padding": (1, 1, 0, 0), "kernel": (3, 3), **SCALE}


@pytest.fixture
def make_maps(make_layer):
    def make(op, *shapes, layouts, **attrs):
        return replace(make_layer(op, list(shapes), **attrs), layouts=layouts)

    return make


@pytest.mark.parametrize("level", LEVELS, ids=lambda level: level.name)
def test_every_level_gives_the_same_bits(
    make_maps, run_layers, expected, draw, draw_bytes, level, has_level
):
    if not has_level(level):
        pytest.skip(f"this CPU lacks {level.name}")
    layers, inputs = [], []
    for channels in (1, 3, 5, 64, 70):
        maps = (1, channels, 9, 23)
        for kind in (P, K):
            for top in (255, 127):
                scale = {**SCALE, "top": top}
                layers.append(make_maps("quantize", maps, layouts=(kind, B), **scale))
                inputs.append([5 * draw(*maps)])
            layers.append(make_maps("dequantize", maps, layouts=(B, kind), **SCALE))
            inputs.append([draw_bytes(*maps)])
        if channels > 4:
            layers.append(make_maps("mean_int8", maps, layouts=(B, P), **SCALE))
            inputs.append([draw_bytes(*maps)])
    for channels, kind in ((64, P), (70, K), (17, P)):
        maps, factor = (1, channels, 7, 9), (1, channels, 1, 1)
        gate = {"zero_in": 20, "ratio": 1.7, "scale": 0.1, "zero": 7, "top": 255 - channels}
        layers.append(make_maps("mul_int8", maps, factor, layouts=(B, kind, B), **gate))
        inputs.append([draw_bytes(*maps), np.abs(draw(*factor))])
        layers.append(make_maps("max_pool_int8", maps, layouts=(B, B), **POOL))
        inputs.append([draw_bytes(*maps)])
    joined = [(1, channels, 5, 6) for channels in (64, 3, 70, 16, 128)]
    layers.append(make_maps("concat_int8", *joined, layouts=(B,) * 6, **SCALE))
    inputs.append([draw_bytes(*shape) for shape in joined])
    results = run_layers(layers, inputs, kernels=[KERNEL] * len(layers), flags=level.flags)
    for layer, xs, result in zip(layers, inputs, results, strict=True):
        truth = expected(layer, xs)
        allowed = 1e-6 * np.abs(truth).max() if layer.gives is not B else 0
        if layer.node.op in {"quantize", "mul_int8"}:
            # a number half way between two, of which float64 takes the other one
            assert (result != truth).mean() < 0.001
            allowed = 1
        assert np.abs(result - truth).max() <= allowed, layer.node


def test_halves_go_to_the_even_number(make_maps, run_layers):
    layer = make_maps(
        "quantize", (1, 1, 1, 8), layouts=(P, B), **{**SCALE, "scale": 1.0, "zero": 10}
    )
    x = np.float32([-3.5, -2.5, -0.5, 0.5, 1.5, 2.5, 1e9, -1e9]).reshape(1, 1, 1, 8)
    (result,) = run_layers([layer], [[x]], kernels=[KERNEL])
    assert result.reshape(-1).tolist() == [6, 8, 10, 10, 12, 12, 255, 0]


def test_it_takes_no_other_operation(make_layer):
    assert KERNEL.refuses(make_layer("elementwise", [(1, 2, 3, 4)]))
    narrow = make_layer("mean_int8", [(1, 4, 3, 4)], **SCALE)
    assert KERNEL.refuses(narrow) == "a map of a word a pixel"
