from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from convforge.compiler.kernels import relayout
from convforge.compiler.kernels.family import Layout

BOTH = (Layout.PLANAR, Layout.BLOCKED), (Layout.BLOCKED, Layout.PLANAR)
SHAPES = [(1, c, 3, 5) for c in (1, 15, 16, 17, 32, 35)] + [(2, 17, 2, 1), (3, 16, 1, 1)]


@pytest.mark.parametrize("layouts", BOTH, ids=["to_blocks", "to_planes"])
def test_a_map_keeps_its_numbers(run_layers, make_layer, draw, layouts):
    layers = [replace(make_layer("elementwise", [shape]), layouts=layouts) for shape in SHAPES]
    inputs = [[draw(*shape)] for shape in SHAPES]
    results = run_layers(layers, inputs, kernels=[relayout.KERNEL] * len(layers))
    for (x,), result in zip(inputs, results, strict=True):
        np.testing.assert_array_equal(result, x)


@pytest.mark.parametrize("layouts", BOTH, ids=["to_blocks", "to_planes"])
def test_an_epilogue_is_done_on_the_way(check_layers, make_layer, layouts):
    layer = make_layer("elementwise", [(1, 19, 4, 3)], epilogue=(("relu",), ("tanh",)))
    check_layers([replace(layer, layouts=layouts)], kernels=[relayout.KERNEL])


def test_it_takes_maps_only(make_layer):
    assert relayout.KERNEL.refuses(make_layer("elementwise", [(1, 5)])) == "not a map"
    layer = make_layer("add", [(1, 5, 2, 2)] * 2)
    assert relayout.KERNEL.refuses(layer) == "computes something"
