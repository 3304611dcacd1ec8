from __future__ import annotations

import numpy as np
import pytest

from convforge.compiler.backend.selftest import (
    HEIGHT,
    MOST,
    TOLERANCE,
    WIDTH,
    make_input,
    make_selftest,
)
from convforge.compiler.ir import reference
from convforge.compiler.ir.graph import Node
from convforge.errors import ArtifactError


def fmix32(x):
    """MurmurHash3's finaliser as its author wrote it, one number at a time."""
    x ^= x >> 16
    x = x * 0x85EBCA6B % 2**32
    x ^= x >> 13
    x = x * 0xC2B2AE35 % 2**32
    return x ^ x >> 16


def test_a_bare_networks_input_is_even_from_minus_one_to_one():
    x = make_input((2, 3, 40, 50), None)
    assert (x.shape, x.dtype) == ((2, 3, 40, 50), np.float32)
    assert -1 <= x.min() < -0.999
    assert 0.999 < x.max() < 1
    assert abs(x.mean()) < 0.02
    expected = [(fmix32(0x636F6E76 + i) >> 8) / 2**23 - 1 for i in range(50)]
    np.testing.assert_array_equal(x.reshape(-1)[:50], np.float32(expected))


def test_a_classifiers_input_is_a_noisy_image_after_preprocessing(make_card):
    card = make_card(shape=(3, 6, 6))
    pixels = np.uint8([fmix32(0x636F6E76 + i) >> 24 for i in range(3 * WIDTH * HEIGHT)])
    expected = card.preprocess(pixels.reshape(HEIGHT, WIDTH, 3))
    np.testing.assert_array_equal(make_input((1, 3, 6, 6), card)[0], expected)


@pytest.mark.parametrize("count", [1, MOST - 1, MOST, MOST + 1, 3 * MOST, 3 * MOST + 1])
def test_at_most_so_many_outputs_are_kept_from_the_first_on(count):
    outputs = np.arange(count, dtype=np.float32)
    test = make_selftest(lambda _x: outputs, (1, 1))
    assert 0 < test.expected.size <= MOST
    np.testing.assert_array_equal(test.expected, outputs[:: test.stride])
    assert test.limit == TOLERANCE * (count - 1)


def test_what_is_no_number_sets_no_limit():
    outputs = np.float32([np.nan, -2, np.inf])
    assert make_selftest(lambda _x: outputs, (1, 1)).limit == 2 * TOLERANCE
    assert make_selftest(lambda _x: outputs[:1], (1, 1)).limit == 0


@pytest.fixture
def graph(make_graph):
    """One image in, the same one out."""
    pool = {"kernel": (1, 1), "stride": (1, 1), "dilation": (1, 1), "padding": (0, 0, 0, 0)}
    return make_graph(Node("p", "max_pool", ("x",), pool), shape=(1, 2, 3, 4))


@pytest.mark.parametrize(
    ("change", "passes"),
    [(0, True), (0.5, True), (2, False), (-2, False), (np.inf, False), (np.nan, False)],
)
@pytest.mark.parametrize("place", [0, 11, 23])
def test_an_output_may_be_off_by_the_limit_and_no_more(graph, open_compiled, change, passes, place):
    def model(x):
        y = reference.evaluate(graph, x).copy()
        y.reshape(-1)[place] += change * TOLERANCE * np.abs(y).max()
        return y

    runtime = open_compiled(graph, expected=model)
    if passes:
        runtime.selftest()
    else:
        with pytest.raises(ArtifactError, match="fails its self-test at level baseline"):
            runtime.selftest()


def test_what_is_no_number_in_the_model_is_none_in_the_artifact(make_graph, open_compiled):
    bias = np.float32([np.nan, np.inf, -np.inf, 1])
    nodes = (Node("f", "reshape", ("x",), {"shape": (1, 2)}), Node("l", "linear", ("f", "w", "b")))
    graph = make_graph(*nodes, shape=(1, 2, 1, 1), w=np.ones((4, 2)), b=bias)
    open_compiled(graph).selftest()
    for wrong in (bias[::-1], np.float32([0, np.inf, -np.inf, 1]), np.abs(bias)):
        runtime = open_compiled(
            graph, expected=lambda x, b=wrong: x[0, :, 0, 0] @ np.ones((2, 4)) + b
        )
        with pytest.raises(ArtifactError, match="fails its self-test"):
            runtime.selftest()


def test_rounded_values_may_be_off_by_what_rounding_costs():
    shape = (1, 2, 3, 3)
    exact = make_selftest(lambda x: x, shape)
    assert make_selftest(lambda x: x, shape, rounded=lambda x: x).limit == exact.limit
    wide = make_selftest(lambda x: x, shape, rounded=lambda x: x + np.float32(0.01))
    assert wide.limit == pytest.approx(0.04, rel=1e-4)
