from __future__ import annotations

import numpy as np
import pytest

from convforge.compiler.ir.graph import Node
from convforge.compiler.ir.reference import evaluate
from convforge.compiler.ir.reference_bf16 import bits, evaluate_bf16, rounded

POINTWISE = {"stride": (1, 1), "dilation": (1, 1), "padding": (0,) * 4, "groups": 1}


def test_rounding_is_that_of_torch(draw):
    torch = pytest.importorskip("torch")
    special = np.float32([0, -0.0, 1 + 2**-8, 1 + 3 * 2**-8, np.inf, -np.inf, 3.4e38, 1e-40])
    x = np.concatenate([special, draw(10_000) * 10 ** draw(10_000)])
    truth = torch.from_numpy(x).to(torch.bfloat16).float().numpy()
    np.testing.assert_array_equal(rounded(x), truth)
    assert np.isnan(rounded(np.float32([np.nan]))).all()


def test_bits_are_the_upper_halves_of_floats():
    assert bits(np.float32([1.0, -2.0])).tolist() == [0x3F80, 0xC000]


def test_values_that_are_stored_and_the_weights_of_their_readers_are_rounded(make_graph):
    third = np.full((1, 1, 1, 1), 1 / 3, np.float32)
    node = Node("y", "conv2d", ("x", "w"), POINTWISE)
    graph = make_graph(node, shape=(1, 1, 1, 1), w=third)
    x = np.full((1, 1, 1, 1), 1 / 7, np.float32)
    assert evaluate_bf16(graph, x, stored=()) == evaluate(graph, x)
    weighed = evaluate_bf16(graph, x, stored={"x"})
    assert weighed == x * rounded(third)
    assert evaluate_bf16(graph, x, stored={"x", "y"}) == rounded(weighed)
