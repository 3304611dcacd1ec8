from __future__ import annotations

from itertools import product

import numpy as np

from convforge.compiler.kernels import reorder


def check_moved(run_layers, expected, layers, inputs):
    for layer, xs, result in zip(layers, inputs, run_layers(layers, inputs), strict=True):
        np.testing.assert_array_equal(result, np.float32(expected(layer, xs)), err_msg=str(layer))


def test_concatenation_of_one_to_four_values(run_layers, expected, make_layer, draw):
    counts = ((3,), (1, 2), (2, 1, 3), (1, 1, 1, 5))
    layers = [
        make_layer("concat", [(1, count, *trailing) for count in channels])
        for channels, trailing in product(counts, ((2, 3), (1, 1), ()))
    ]
    inputs = [[draw(*shape) for shape in layer.inputs] for layer in layers]
    check_moved(run_layers, expected, layers, inputs)


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
    layer = make_layer("concat", [(1, 2, 3, 4)], draw(1, 1, 3, 4))
    assert reorder.KERNEL.refuses(layer) == "a constant among what it joins"


def test_it_takes_what_only_moves_values(make_layer):
    assert reorder.KERNEL.refuses(make_layer("elementwise", [(1, 2)])) == "computes something"
