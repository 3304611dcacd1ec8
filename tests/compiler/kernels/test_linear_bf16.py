from __future__ import annotations

from dataclasses import replace

import pytest

from convforge.compiler.backend.target import for_precision, native
from convforge.compiler.kernels import linear_bf16
from convforge.compiler.kernels.family import Layout

KERNEL = linear_bf16.KERNEL


@pytest.fixture
def make_linear(make_layer, draw):
    def make(inputs, outputs, *, epilogue=(), bias=True):
        constants = [draw(outputs, inputs), draw(outputs)]
        layer = make_layer(
            "linear", [(1, inputs)], *(constants if bias else constants[:1]), epilogue=epilogue
        )
        return replace(layer, layouts=(Layout.BF16, Layout.PLANAR))

    return make


@pytest.mark.parametrize(
    "level", for_precision(native(), "bf16").levels, ids=lambda level: level.name
)
def test_every_level_gives_what_is_meant(make_linear, check_bf16, level, has_level):
    if not has_level(level):
        pytest.skip(f"this CPU lacks {level.name}")
    layers = [
        make_linear(1280, 33),
        make_linear(400, 120, epilogue=(("relu",),)),
        make_linear(70, 32, bias=False),
        make_linear(6, 1, epilogue=(("tanh",),)),
        make_linear(2, 10),
    ]
    check_bf16(layers, flags=level.flags, kernels=[KERNEL] * len(layers))


def test_it_takes_vectors_of_whole_words(make_linear, make_layer, draw):
    assert KERNEL.refuses(make_linear(7, 3)) == "an odd number of inputs"
    assert KERNEL.refuses(make_layer("linear", [(2, 4)], draw(3, 4)))
