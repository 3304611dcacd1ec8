from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from convforge.compiler.kernels import pooling

WINDOW = {"stride": (1, 1), "dilation": (1, 1), "padding": (0, 0, 0, 0)}


def geometries():
    """Attributes of every combination of kernel, stride, dilation and padding."""
    kernels, strides, dilations = ((2, 2), (3, 2), (1, 4)), ((1, 1), (2, 3)), ((1, 1), (2, 1))
    paddings = ((0, 0, 0, 0), (1, 0, 0, 0), (0, 2, 0, 0), (0, 0, 1, 3), (1, 1, 1, 1), (2, 3, 4, 5))
    for kernel, stride, dilation, padding in product(kernels, strides, dilations, paddings):
        yield {"kernel": kernel, "stride": stride, "dilation": dilation, "padding": padding}


def test_max_pooling_of_every_geometry(run_layers, expected, make_layer, draw):
    layers = [make_layer("max_pool", [(1, 3, 7, 8)], **attrs) for attrs in geometries()]
    inputs = [[draw(1, 3, 7, 8) - np.float32(9)] for _ in layers]  # zeros would win
    for layer, xs, result in zip(layers, inputs, run_layers(layers, inputs), strict=True):
        np.testing.assert_array_equal(result, expected(layer, xs), err_msg=str(layer))


def test_average_pooling_of_every_geometry(check_layers, make_layer):
    layers = []
    for attrs in geometries():
        padding = attrs["padding"]
        for counted in (padding, tuple(p // 2 for p in padding), (0, 0, 0, 0)):
            rest = zip(padding, counted, attrs["kernel"] * 2, strict=True)
            if all(p - c < kernel for p, c, kernel in rest):  # every window has a cell to count
                layers.append(make_layer("avg_pool", [(1, 3, 7, 8)], **attrs, counted=counted))
    check_layers(layers)


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (7, 8), (5, 9), (13, 4)])
def test_adaptive_pooling_shares_out_any_map(check_layers, make_layer, size):
    steps = (("affine", 2.0, -1.0),)
    check_layers(
        [
            make_layer(op, [(1, 3, 7, 8)], epilogue=epilogue, size=size)
            for op in ("adaptive_avg_pool", "adaptive_max_pool")
            for epilogue in ((), steps)
        ]
    )


def test_a_mean_over_a_large_map_is_the_nearest_float(run_layers, expected, make_layer, draw):
    attrs = {**WINDOW, "kernel": (113, 97), "counted": (0, 0, 0, 0)}
    layer = make_layer("avg_pool", [(1, 2, 113, 97)], **attrs)
    x = np.float32(100) + draw(1, 2, 113, 97)
    (found,) = run_layers([layer], [[x]])
    np.testing.assert_allclose(found, expected(layer, [x]), rtol=1e-7)


def test_global_pooling(check_layers, make_layer):
    attrs = {**WINDOW, "kernel": (7, 9), "counted": (0, 0, 0, 0)}
    steps = (("affine", 2.0, -1.0), ("relu",))
    check_layers([make_layer("avg_pool", [(1, 5, 7, 9)], epilogue=steps, **attrs)])


@pytest.mark.parametrize("place", range(4))
def test_a_nan_anywhere_in_the_window_wins_as_in_torch(run_layers, make_layer, place):
    x = np.array([1.0, 2.0, 0.5, 3.0], np.float32)
    x[place] = np.nan
    x = x.reshape(1, 1, 2, 2)
    layer = make_layer("max_pool", [x.shape], **WINDOW, kernel=(2, 2))
    (result,) = run_layers([layer], [[x]])
    theirs = F.max_pool2d(torch.from_numpy(x), 2).numpy()
    np.testing.assert_array_equal(result, theirs)
    assert np.isnan(result).all()


def test_infinities_are_values(run_layers, make_layer):
    x = np.array([-np.inf, -np.inf, -np.inf, np.inf], np.float32).reshape(1, 2, 1, 2)
    layer = make_layer("max_pool", [x.shape], **WINDOW, kernel=(1, 2))
    (result,) = run_layers([layer], [[x]])
    np.testing.assert_array_equal(result.ravel(), [-np.inf, np.inf])


def test_it_takes_poolings_only(make_layer):
    layer = make_layer("softmax", [(1, 2, 3, 4)], axis=1)
    assert pooling.KERNEL.refuses(layer) == "not a pooling layer"
