from __future__ import annotations

import numpy as np
import pytest

from convforge.compiler.kernels import upsampling

NEAREST = ((0, 0, 1, 1, 2, 2), (2, 0, 1), (0,), (0, 0, 0, 1, 1, 1, 2, 2, 2, 2))


@pytest.mark.parametrize("rows", NEAREST)
@pytest.mark.parametrize("columns", NEAREST)
def test_nearest_takes_the_named_cells(run_layers, expected, make_layer, draw, rows, columns):
    layer = make_layer("upsample_nearest", [(1, 3, 3, 3)], rows=rows, columns=columns)
    x = draw(1, 3, 3, 3)
    (found,) = run_layers([layer], [[x]])
    np.testing.assert_array_equal(found, expected(layer, [x]))


def test_bilinear_weighs_the_named_cells_and_the_next(check_layers, make_layer):
    generator = np.random.default_rng(0)
    layers = [
        make_layer(
            "upsample_bilinear",
            [(1, 3, 3, 3)],
            *(generator.random(len(places), np.float32) for places in (rows, columns)),
            rows=rows,
            columns=columns,
            epilogue=epilogue,
        )
        for rows in NEAREST
        for columns in NEAREST
        for epilogue in ((), (("relu",),))
    ]
    check_layers(layers)


def test_it_takes_upsampling_only(make_layer):
    layer = make_layer("softmax", [(1, 2)], axis=1)
    assert upsampling.KERNEL.refuses(layer) == "not an upsampling layer"
