from __future__ import annotations

import numpy as np
import pytest

from convforge.compiler.kernels import normalization

# the axis first, in the middle, last; inner places around whole blocks of 64
SHAPES = (
    *(((1, 5, 3, 4), 1), ((2, 3, 7), 2), ((4, 3), 0), ((1, 96), 1), ((1, 1, 5), 1), ((3, 65), 0)),
    *(((1, 6, 63), 1), ((2, 6, 64), 1), ((2, 6, 65), 1), ((2, 6, 128), 1), ((1, 6, 10, 13), 1)),
)
STEPS = (("affine", 2.0, -1.0),)


@pytest.mark.parametrize("epilogue", [(), STEPS])
def test_layer_norm_along_any_axis(check_layers, make_layer, draw, epilogue):
    layers = [
        make_layer(
            "layer_norm",
            [shape],
            *(draw(shape[axis]) for _ in range(2)),
            axis=axis,
            eps=1e-5,
            epilogue=epilogue,
        )
        for shape, axis in SHAPES
    ]
    check_layers(layers)


def test_layer_norm_of_more_numbers_than_a_stack_holds(run_layers, expected, make_layer, draw):
    length = 2**22 + 1  # 16 MB of squares, and a last piece that is not whole
    layer = make_layer("layer_norm", [(1, length)], axis=1, eps=1e-5)
    x = draw(1, length)
    (found,) = run_layers([layer], [[x]])
    np.testing.assert_allclose(found, expected(layer, [x]), rtol=0, atol=2e-6)


def test_layer_norm_without_gamma_and_beta(check_layers, make_layer):
    check_layers([make_layer("layer_norm", [shape], axis=axis, eps=1e-5) for shape, axis in SHAPES])


@pytest.mark.parametrize("shape", [(1, 768, 3, 3), (1, 3, 3, 768)])
def test_layer_norm_is_exact_far_from_zero(run_layers, expected, make_layer, draw, shape):
    axis = shape.index(768)
    ones, zeros = np.ones(768, np.float32), np.zeros(768, np.float32)
    layer = make_layer("layer_norm", [shape], ones, zeros, axis=axis, eps=1e-6)
    x = np.float32(300) + draw(*shape)
    (found,) = run_layers([layer], [[x]])
    # a mean that is rounded to float32 is off by up to 2^-16 of the standard deviation here
    np.testing.assert_allclose(found, expected(layer, [x]), rtol=0, atol=2e-5)


@pytest.mark.parametrize("epilogue", [(), STEPS])
def test_softmax_along_any_axis(check_layers, make_layer, epilogue):
    layers = [
        make_layer("softmax", [shape], axis=axis, epilogue=epilogue) for shape, axis in SHAPES
    ]
    check_layers(layers)


def test_softmax_of_large_numbers_infinities_and_nan(run_layers, make_layer):
    x = np.float32([[1e4, 1e4, -1e4], [-np.inf, 0, 0], [np.nan, 0, 1]])
    layer = make_layer("softmax", [x.shape], axis=1)
    (found,) = run_layers([layer], [[x]])
    np.testing.assert_array_equal(found, [[0.5, 0.5, 0], [0, 0.5, 0.5], [np.nan] * 3])


def test_it_takes_what_is_along_an_axis_only(make_layer):
    layer = make_layer("mean", [(1, 2)], axes=(1,))
    assert normalization.KERNEL.refuses(layer) == "not a normalisation along an axis"
