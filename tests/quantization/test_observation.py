from __future__ import annotations

import numpy as np
import pytest

from convforge.compiler.ir.graph import Graph, Node
from convforge.compiler.ir.ops import POINTWISE
from convforge.compiler.ir.reference import evaluate_all
from convforge.compiler.passes.quantize import before
from convforge.errors import InputError
from convforge.quantization.observation import nearest, observe


@pytest.fixture
def graph():
    """A convolution with a SiLU, one with a ReLU, and a fully connected layer."""
    generator = np.random.default_rng(0)

    def draw(*shape):
        return generator.standard_normal(shape, dtype=np.float32)

    nodes = (
        Node("a", "conv2d", ("x", "wa"), POINTWISE, (("silu",),)),
        Node("b", "conv2d", ("a", "wb"), POINTWISE, (("relu",),)),
        Node("flat", "reshape", ("b",), {"shape": (1, 300)}),
        Node("c", "linear", ("flat", "wc"), {}),
    )
    constants = {"wa": draw(8, 3, 1, 1), "wb": draw(12, 8, 1, 1), "wc": draw(4, 300)}
    return Graph("x", (1, 3, 5, 5), nodes, constants, "c")


def images(count):
    generator = np.random.default_rng(1)
    return [generator.standard_normal((1, 3, 5, 5), dtype=np.float32) for _ in range(count)]


def test_every_value_has_a_range_within_its_own(graph):
    found = observe(graph, images(3))
    assert set(found) == {"x", before("a"), "a", "b", "flat", "c"}
    values = [evaluate_all(graph, image) for image in images(3)]
    for name in ("x", "a", "b", "c"):
        least = min(float(value[name].min()) for value in values)
        most = max(float(value[name].max()) for value in values)
        one = found[name]
        assert min(least, 0) - 1e-4 <= one.low <= 0.3 * min(least, 0)
        assert 0.3 * most - 1e-4 <= one.high <= most + 1e-4
        assert 0 < one.noise < 1e-3


def test_what_is_rare_is_left_out():
    samples = np.random.default_rng(0).standard_normal(300_000, dtype=np.float32)
    whole = float(np.abs(samples).max())
    samples[7] = 3 * whole
    found = nearest(samples, -whole, 3 * whole)
    assert found.high < 2.5 * whole  # the steps of all the others would be wider
    assert found.noise < 1e-3


def test_bytes_of_seven_bits_have_more_noise_but_for_what_is_looked_up(graph):
    wide, narrow = observe(graph, images(3)), observe(graph, images(3), top=127)
    assert narrow[before("a")] == wide[before("a")]
    for name in ("x", "a", "b"):
        assert 2 < narrow[name].noise / wide[name].noise < 6  # steps twice as wide: 4


def test_what_is_not_finite_is_refused(graph):
    broken = images(1)
    broken[0][:] = np.nan
    with pytest.raises(InputError, match="not finite"):
        observe(graph, broken)
    with pytest.raises(InputError, match="no images"):
        observe(graph, [])
