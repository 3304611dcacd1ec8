from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from convforge.compiler.backend.target import for_precision, native
from convforge.compiler.kernels import linear_int8
from convforge.compiler.kernels.family import Layout

KERNEL = linear_int8.KERNEL


@pytest.fixture
def make_linear(make_layer, draw, draw_bytes):
    def make(maps, outputs, *, epilogue=()):
        layer = make_layer(
            "linear_int8",
            [(1, *maps)],
            draw_bytes(outputs, *maps, low=-127, high=127),
            1000 * draw(outputs),
            np.abs(draw(outputs)),
            zero_in=77,
            epilogue=epilogue,
        )
        return replace(layer, layouts=(Layout.BYTES, Layout.PLANAR))

    return make


@pytest.mark.parametrize(
    "level", for_precision(native(), "int8").levels, ids=lambda level: level.name
)
def test_sums_are_exact_at_every_level(
    make_linear, run_layers, expected, draw_bytes, level, has_level
):
    if not has_level(level):
        pytest.skip(f"this CPU lacks {level.name}")
    layers = [
        make_linear((1280, 1, 1), 33),
        make_linear((16, 5, 5), 120, epilogue=(("relu",),)),
        make_linear((70, 3, 2), 16),
        make_linear((3, 4, 4), 10),
        make_linear((67, 1, 1), 1),
    ]
    inputs = [[draw_bytes(*layer.inputs[0])] for layer in layers]
    results = run_layers(layers, inputs, kernels=[KERNEL] * len(layers), flags=level.flags)
    for layer, xs, result in zip(layers, inputs, results, strict=True):
        truth = expected(layer, xs)
        assert np.abs(result - truth).max() <= 1e-6 * np.abs(truth).max()


def test_it_takes_no_other_operation(make_layer, draw):
    assert KERNEL.refuses(make_layer("linear", [(1, 4)], draw(2, 4)))
