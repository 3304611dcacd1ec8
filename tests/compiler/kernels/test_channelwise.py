from __future__ import annotations

import pytest

from convforge.compiler.kernels import channelwise

KRIZHEVSKY_2012 = {"alpha": 1e-4, "beta": 0.75, "k": 2.0}


def test_a_scale_and_shift_a_channel_of_maps_and_vectors(check_layers, make_layer, draw):
    layers = [
        make_layer("scale_shift", [shape], draw(shape[1]), draw(shape[1]), epilogue=epilogue)
        for shape in ((1, 5, 3, 4), (1, 1, 1, 1), (1, 17), (1, 1))
        for epilogue in ((), (("relu",), ("affine", 2.0, 1.0)))
    ]
    check_layers(layers)


def test_a_slope_a_channel(check_layers, make_layer, draw):
    shapes = ((1, 5, 3, 4), (1, 17), (1, 4, 2, 2, 3))
    steps = (("affine", 2.0, 1.0),)
    check_layers(
        [
            make_layer("prelu", [shape], draw(shape[1]), epilogue=epilogue)
            for shape in shapes
            for epilogue in ((), steps)
        ]
    )


def test_lrn_over_any_number_of_channels(check_layers, make_layer):
    strong = {"alpha": 0.5, "beta": 1.25, "k": 1.0}
    layers = [
        make_layer("lrn", [(1, channels, 3, 4)], size=size, **constants)
        for channels in (1, 2, 6)
        for size in (1, 2, 3, 4, 5, 13)
        for constants in (KRIZHEVSKY_2012, strong)
    ]
    steps = (("relu",),)
    check_layers([*layers, make_layer("lrn", [(1, 4, 2, 2)], epilogue=steps, size=5, **strong)])


@pytest.mark.parametrize("op", ["add", "mul"])
def test_it_takes_channelwise_layers_only(make_layer, op):
    layer = make_layer(op, [(1, 2, 3, 4), (1, 2, 3, 4)])
    assert channelwise.KERNEL.refuses(layer) == "not a channelwise layer"
