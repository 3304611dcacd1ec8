from __future__ import annotations

from itertools import product

import pytest

from convforge.compiler.kernels import elementwise

MAPS = ((1, 3, 4, 5), (1, 3, 1, 1), (1, 1, 4, 5), (1, 1, 1, 5), (1, 3, 4, 1), (1, 1, 1, 1))
VECTORS = ((1, 7), (1, 1))


@pytest.mark.parametrize("op", ["add", "mul"])
def test_two_values_broadcast_over_any_axis(check_layers, make_layer, op):
    pairs = [*product(MAPS, MAPS), *product(VECTORS, VECTORS)]
    check_layers(
        [
            make_layer(op, pair, epilogue=(("relu",),) if i % 2 else ())
            for i, pair in enumerate(pairs)
        ]
    )


@pytest.mark.parametrize("op", ["add", "mul"])
def test_one_of_the_two_may_be_a_constant(check_layers, make_layer, draw, op):
    check_layers([make_layer(op, [(1, 3, 4, 5)], draw(*shape)) for shape in MAPS])


def test_steps_alone(check_layers, make_layer):
    steps = (("tanh",), ("affine", 3.0, 0.5))
    layers = [make_layer("elementwise", [shape], epilogue=steps) for shape in (*MAPS, *VECTORS)]
    check_layers([*layers, make_layer("elementwise", [(1, 2, 3, 4)])])


def test_it_takes_elementwise_layers_only(make_layer):
    layer = make_layer("flatten", [(1, 2, 3, 4)])
    assert elementwise.KERNEL.refuses(layer) == "not an elementwise layer"
