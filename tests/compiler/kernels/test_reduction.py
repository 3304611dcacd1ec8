from __future__ import annotations

from itertools import combinations

import numpy as np

from convforge.compiler.kernels import reduction


def test_a_mean_over_any_axes(check_layers, make_layer):
    shapes = ((5,), (3, 7), (2, 3, 4), (2, 3, 4, 5), (2, 1, 3, 4, 2))
    layers = [
        make_layer("mean", [shape], axes=axes, epilogue=epilogue)
        for shape in shapes
        for count in range(1, len(shape) + 1)
        for axes in combinations(range(len(shape)), count)
        for epilogue in ((), (("relu",), ("affine", 2.0, 1.0)))
    ]
    check_layers(layers)


def test_the_order_of_axes_does_not_matter(run_layers, make_layer, draw):
    layers = [make_layer("mean", [(2, 3, 4)], axes=axes) for axes in ((1, 2), (2, 1))]
    x = draw(2, 3, 4)
    first, second = run_layers(layers, [[x], [x]])
    np.testing.assert_array_equal(first, second)


def test_a_mean_of_many_is_the_nearest_float(run_layers, expected, make_layer, draw):
    layers = [make_layer("mean", [(9, 3, 2000)], axes=axes) for axes in ((2,), (0, 2), (0,))]
    x = np.float32(100) + draw(9, 3, 2000)
    for layer, found in zip(layers, run_layers(layers, [[x]] * 3), strict=True):
        np.testing.assert_allclose(found, expected(layer, [x]), rtol=1e-7)


def test_it_takes_means_only(make_layer):
    assert reduction.KERNEL.refuses(make_layer("elementwise", [(1, 2)])) == "not a mean"
