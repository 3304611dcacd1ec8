from __future__ import annotations

from itertools import product

import pytest

from convforge.compiler.kernels import elementwise

MAPS = ((1, 3, 4, 5), (1, 3, 1, 1), (1, 1, 4, 5), (1, 1, 1, 5), (1, 3, 4, 1), (1, 1, 1, 1))
VECTORS = ((1, 7), (1, 1))


OTHERS = ((2, 3, 4, 5), (4, 1), (5,), (2, 1, 4, 5), (3, 1, 5), (2, 1, 1, 1), (1, 2, 3, 4, 5))


@pytest.mark.parametrize("op", ["add", "sub", "mul", "div"])
def test_two_values_broadcast_over_any_axis(check_layers, make_layer, op):
    pairs = [*product(MAPS, MAPS), *product(VECTORS, VECTORS)]
    check_layers(
        [
            make_layer(op, pair, epilogue=(("relu",),) if i % 2 else ())
            for i, pair in enumerate(pairs)
        ]
    )


@pytest.mark.parametrize("op", ["add", "sub", "mul", "div"])
def test_values_of_any_rank_broadcast_as_in_numpy(check_layers, make_layer, op):
    check_layers([make_layer(op, pair) for pair in product(OTHERS, OTHERS)])


@pytest.mark.parametrize("op", ["add", "sub", "mul", "div"])
def test_the_second_of_the_two_may_be_a_constant(check_layers, make_layer, draw, op):
    shapes = (*MAPS, (5,), (4, 1), (2, 3, 1, 5))
    check_layers([make_layer(op, [(1, 3, 4, 5)], draw(*shape)) for shape in shapes])


@pytest.mark.parametrize("size", [4095, 4096, 4097, 8193])
def test_long_rows_are_cut_into_chunks(check_layers, make_layer, size):
    layers = [make_layer("elementwise", [(size,)], epilogue=(("relu",),))]
    check_layers([*layers, make_layer("sub", [(size,), (size,)])])


def test_steps_alone(check_layers, make_layer):
    steps = (("tanh",), ("affine", 3.0, 0.5))
    layers = [make_layer("elementwise", [shape], epilogue=steps) for shape in (*MAPS, *VECTORS)]
    check_layers([*layers, make_layer("elementwise", [(1, 2, 3, 4)])])


def test_it_takes_elementwise_layers_only(make_layer):
    layer = make_layer("softmax", [(1, 2, 3, 4)], axis=1)
    assert elementwise.KERNEL.refuses(layer) == "not an elementwise layer"
