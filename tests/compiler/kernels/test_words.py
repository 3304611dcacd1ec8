from __future__ import annotations

import numpy as np
import pytest

from convforge.compiler.kernels.family import Layout
from convforge.compiler.kernels.words import WordConv, as_floats

WINDOW = {"stride": (2, 2), "dilation": (1, 1), "padding": (1, 1, 1, 1), "groups": 1}


@pytest.fixture
def make_conv(make_layer, draw):
    def make(channels, outputs, layout):
        layer = make_layer("conv2d", [(1, channels, 8, 8)], draw(outputs, channels, 3, 3), **WINDOW)
        return WordConv(layer, layout)

    return make


@pytest.mark.parametrize(
    ("layout", "channels", "words", "step"),
    [
        (Layout.BYTES, 3, 9, 2),
        (Layout.BYTES, 70, 9 * 18, 32),
        (Layout.BF16, 3, 18, 4),
        (Layout.BF16, 70, 9 * 35, 32),
    ],
)
def test_a_sum_has_a_step_a_word(make_conv, layout, channels, words, step):
    conv = make_conv(channels, 40, layout)
    assert conv.words == words
    assert conv.plan.step == step
    assert conv.vectors == 3
    weight = conv.layer.constants[0]
    packed = conv.weights(weight, np.float32)
    assert packed.shape == (48, words, conv.word)
    assert packed.sum() == pytest.approx(weight.sum(), rel=1e-4)


def test_as_floats_keeps_bytes():
    assert as_floats(np.arange(8, dtype=np.uint8)).tobytes() == bytes(range(8))
