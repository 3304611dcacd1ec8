from __future__ import annotations

from dataclasses import replace

import pytest

from convforge.compiler.ir.ops import OPS
from convforge.compiler.kernels import elementwise_blocked

KERNEL = elementwise_blocked.KERNEL
STEPS = (("relu",), ("affine", 2.0, 0.5))
SIGNS = [op for op in ("add", "sub", "mul", "div") if op in OPS]


def laid_out(layer):
    (layouts,) = KERNEL.layouts(layer)
    return replace(layer, layouts=layouts)


@pytest.mark.parametrize("channels", [1, 15, 16, 17, 40])
def test_maps_and_numbers_a_channel(check_layers, make_layer, draw, channels):
    shape, one = (1, channels, 3, 4), (1, channels, 1, 1)
    pairs = [(shape, shape), (shape, one), (one, shape)]
    layers = [make_layer(op, pair, epilogue=STEPS) for op in SIGNS for pair in pairs]
    layers += [make_layer(op, [shape], draw(*one)) for op in ("add", "mul")]
    layers += [make_layer("elementwise", [shape], epilogue=STEPS)]
    layers += [make_layer("scale_shift", [shape], draw(channels), draw(channels), epilogue=STEPS)]
    layers = [laid_out(layer) for layer in layers]
    check_layers(layers, kernels=[KERNEL] * len(layers))


def test_several_images(check_layers, make_layer, draw):
    shape = (3, 17, 2, 2)
    layers = [make_layer("add", [shape] * 2), make_layer("elementwise", [shape], epilogue=STEPS)]
    layers += [make_layer("scale_shift", [shape], draw(17), draw(17))]
    check_layers([laid_out(layer) for layer in layers], kernels=[KERNEL] * 3)


def test_what_it_refuses(make_layer, draw):
    map_, other = (1, 4, 3, 3), "broadcasts over more than the cells of a channel"
    refused = [
        (make_layer("max_pool", [map_], kernel=(1, 1), **WINDOW), "not an elementwise layer"),
        (make_layer("add", [(1, 5), (1, 5)]), "no map of the result's size"),
        (make_layer("add", [(1, 4, 1, 3), (1, 1, 3, 1)]), "no map of the result's size"),
        (make_layer("add", [map_, (1, 1, 3, 3)]), other),
        (make_layer("mul", [map_, (1, 1, 1, 1)]), other),
        (make_layer("mul", [map_], draw(*map_)), "a map among the constants"),
    ]
    assert [KERNEL.refuses(layer) for layer, _ in refused] == [reason for _, reason in refused]


WINDOW = {"stride": (1, 1), "dilation": (1, 1), "padding": (0, 0, 0, 0)}
