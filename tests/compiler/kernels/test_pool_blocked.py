from __future__ import annotations

import itertools
from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from convforge.compiler.kernels import pool_blocked

KERNEL = pool_blocked.KERNEL
WINDOW = {"stride": (1, 1), "dilation": (1, 1), "padding": (0, 0, 0, 0)}
OPS = {"max_pool": {}, "avg_pool": {"counted": (0, 0, 0, 0)}}


def laid_out(layer):
    (layouts,) = KERNEL.layouts(layer)
    return replace(layer, layouts=layouts)


def geometries():
    """Attributes of every combination of kernel, stride, dilation and padding."""
    kernels, strides, dilations = ((2, 2), (3, 2), (1, 4)), ((1, 1), (2, 3)), ((1, 1), (2, 1))
    paddings = ((0, 0, 0, 0), (1, 0, 0, 0), (0, 2, 0, 0), (0, 0, 1, 3), (1, 1, 1, 1))
    for kernel, stride, dilation, padding in product(kernels, strides, dilations, paddings):
        yield {"kernel": kernel, "stride": stride, "dilation": dilation, "padding": padding}


def shapes():
    """Around the blocks of 16 channels, in turns."""
    return itertools.cycle(((1, 3, 7, 8), (1, 16, 7, 8), (1, 17, 7, 8)))


def test_max_pooling_of_every_geometry(run_layers, expected, make_layer, draw):
    layers = [
        laid_out(make_layer("max_pool", [shape], **attrs))
        for shape, attrs in zip(shapes(), geometries(), strict=False)
    ]
    inputs = [[draw(*layer.inputs[0]) - np.float32(9)] for layer in layers]  # zeros would win
    results = run_layers(layers, inputs, kernels=[KERNEL] * len(layers))
    for layer, xs, result in zip(layers, inputs, results, strict=True):
        np.testing.assert_array_equal(result, expected(layer, xs), err_msg=str(layer))


def test_average_pooling_of_every_geometry(check_layers, make_layer):
    layers = []
    for shape, attrs in zip(shapes(), geometries(), strict=False):
        steps = (("affine", 2.0, 1.0),) if shape[1] > 3 else ()
        padding = attrs["padding"]
        counted = padding if shape[1] > 3 else tuple(min(1, cells) for cells in padding)
        sides = zip(padding, counted, attrs["kernel"] * 2, strict=True)
        if all(whole - part < kernel for whole, part, kernel in sides):  # all have a cell to count
            layers.append(make_layer("avg_pool", [shape], epilogue=steps, **attrs, counted=counted))
    layers = [laid_out(layer) for layer in layers]
    check_layers(layers, kernels=[KERNEL] * len(layers))


def test_a_whole_map_gives_one_number_a_channel(check_layers, make_layer):
    layers = [
        laid_out(
            make_layer(
                op,
                [(1, channels, *size)],
                epilogue=(("affine", 2.0, -1.0),),
                **{**WINDOW, **OPS[op], "kernel": size},
            )
        )
        for op, channels, size in product(OPS, (1, 15, 16, 17, 33), ((1, 1), (1, 3), (7, 9)))
    ]
    for op, attrs in (
        ("mean", {"axes": (2, 3)}),
        ("adaptive_avg_pool", {"size": (1, 1)}),
        ("adaptive_max_pool", {"size": (1, 1)}),
    ):
        layers.append(laid_out(make_layer(op, [(1, 17, 5, 6)], **attrs)))
    layers.append(laid_out(make_layer("mean", [(3, 17, 5, 6)], axes=(2, 3))))
    check_layers(layers, kernels=[KERNEL] * len(layers))


@pytest.mark.parametrize(("place", "size"), [*product(range(4), ((2, 2), (3, 3)))])
def test_a_nan_anywhere_in_the_window_wins(run_layers, make_layer, place, size):
    x = np.array([1.0, 2.0, 0.5, 3.0], np.float32)
    x[place] = np.nan
    x = np.pad(x.reshape(1, 1, 2, 2), ((0, 0), (0, 0), (0, size[0] - 2), (0, size[1] - 2)))
    layer = laid_out(make_layer("max_pool", [x.shape], **{**WINDOW, "kernel": (2, 2)}))
    (result,) = run_layers([layer], [[x]], kernels=[KERNEL])
    assert np.isnan(result[0, 0, 0, 0])


def test_it_takes_poolings_only(make_layer):
    assert KERNEL.refuses(make_layer("elementwise", [(1, 2, 3, 4)])) == "not a pooling layer"
    layer = make_layer("adaptive_avg_pool", [(1, 2, 3, 4)], size=(1, 2))
    assert KERNEL.refuses(layer) == "more than one adaptive window"
    assert KERNEL.refuses(make_layer("mean", [(1, 2, 3, 4)], axes=(1, 2))) == "not a pooling layer"
