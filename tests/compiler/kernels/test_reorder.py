from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest

from convforge.compiler.kernels import reorder


def check_moved(run_layers, expected, layers, inputs):
    for layer, xs, result in zip(layers, inputs, run_layers(layers, inputs), strict=True):
        np.testing.assert_array_equal(result, np.float32(expected(layer, xs)), err_msg=str(layer))


def test_concatenation_of_one_to_four_values(run_layers, expected, make_layer, draw):
    counts = ((3,), (1, 2), (2, 1, 3), (1, 1, 1, 5))
    layers = [
        make_layer("concat", [(1, count, *trailing) for count in channels], axis=1)
        for channels, trailing in product(counts, ((2, 3), (1, 1), ()))
    ]
    inputs = [[draw(*shape) for shape in layer.inputs] for layer in layers]
    check_moved(run_layers, expected, layers, inputs)


def test_concatenation_along_any_axis(run_layers, expected, make_layer, draw):
    layers = []
    for axis in range(4):
        shapes = [tuple(2 + (i == axis) * more for i in range(4)) for more in (0, 1, 3)]
        layers.append(make_layer("concat", shapes, axis=axis))
    inputs = [[draw(*shape) for shape in layer.inputs] for layer in layers]
    check_moved(run_layers, expected, layers, inputs)


def test_slices_of_any_axis(run_layers, expected, make_layer, draw):
    bounds = ((0, 1, 1), (0, 5, 1), (1, 4, 1), (0, 5, 2), (1, 5, 3), (4, 5, 1))
    layers = [
        make_layer("slice", [(5, 5, 5)], axis=axis, start=start, stop=stop, step=step)
        for axis, (start, stop, step) in product(range(3), bounds)
    ]
    inputs = [[draw(5, 5, 5)] for _ in layers]
    check_moved(run_layers, expected, layers, inputs)


def test_every_transpose_of_up_to_five_axes(run_layers, expected, make_layer, draw):
    shapes = ((7,), (3, 5), (1, 4, 3), (2, 3, 1, 5), (2, 1, 3, 4, 2))
    layers = [
        make_layer("transpose", [shape], perm=perm)
        for shape in shapes
        for perm in permutations(range(len(shape)))
    ]
    inputs = [[draw(*layer.inputs[0])] for layer in layers]
    check_moved(run_layers, expected, layers, inputs)


@pytest.mark.parametrize("size", [(1, 70), (31, 33), (64, 65), (100, 3)])
def test_large_matrices_are_transposed(run_layers, expected, make_layer, draw, size):
    layer = make_layer("transpose", [(1, *size)], perm=(0, 2, 1))
    check_moved(run_layers, expected, [layer], [[draw(1, *size)]])


def test_padding_of_every_side_with_any_fill(run_layers, expected, make_layer, draw):
    sides, channels = list(product((0, 2), repeat=4)), ((0, 0), (1, 0), (0, 2))
    fills = (0.0, -1.5, float("-inf"), float("inf"))
    layers = [
        make_layer(
            "pad",
            [(1, 2, 3, 4)],
            padding=padding,
            channels=channels[i % 3],
            fill=fills[i % 4],
        )
        for i, padding in enumerate(sides)
    ]
    inputs = [[draw(1, 2, 3, 4)] for _ in layers]
    check_moved(run_layers, expected, layers, inputs)


def test_it_refuses_to_join_constants(make_layer, draw):
    layer = make_layer("concat", [(1, 2, 3, 4)], draw(1, 1, 3, 4), axis=1)
    assert reorder.KERNEL.refuses(layer) == "a constant among what it joins"


def test_it_takes_what_only_moves_values(make_layer):
    assert reorder.KERNEL.refuses(make_layer("elementwise", [(1, 2)])) == "computes something"
