from __future__ import annotations

from convforge.compiler.kernels import rbf


def test_the_squared_distance_to_every_code(check_layers, make_layer, draw):
    sizes = ((1, 1), (84, 10), (17, 33))
    layers = [
        make_layer("rbf", [(1, features)], draw(codes, features), epilogue=epilogue)
        for features, codes in sizes
        for epilogue in ((), (("affine", -0.5, 1.0),))
    ]
    check_layers(layers)


def test_it_takes_rbf_units_only(make_layer, draw):
    layer = make_layer("linear", [(1, 4)], draw(3, 4))
    assert rbf.KERNEL.refuses(layer) == "not an rbf layer"
