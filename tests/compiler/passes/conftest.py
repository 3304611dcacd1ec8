from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from convforge.compiler.ir.printer import print_graph
from convforge.compiler.ir.reference import evaluate
from convforge.compiler.ir.verify import verify

if TYPE_CHECKING:
    from collections.abc import Callable

    from convforge.compiler.ir.graph import Graph

    Pass = Callable[[Graph], Graph]


@pytest.fixture
def apply(draw) -> Callable[[Pass, Graph], Graph]:
    """The graph after the pass; both keep the rules and give the same but for float32 weights."""

    def run(rewrite: Pass, before: Graph) -> Graph:
        verify(before)
        after = rewrite(before)
        verify(after)
        image = draw(*before.input_shape).astype(np.float64)
        expected, found = evaluate(before, image), evaluate(after, image)
        assert found.shape == expected.shape
        # New weights are rounded to float32; the sums themselves are in float64 on both sides.
        assert np.abs(found - expected).max() <= 1e-6 * np.abs(expected).max()
        return after

    return run


@pytest.fixture
def unchanged(apply) -> Callable[[Pass, Graph], None]:
    """The pass finds nothing to do in this graph and gives it back as it was."""

    def check(rewrite: Pass, graph: Graph) -> None:
        after = apply(rewrite, graph)
        assert after.nodes == graph.nodes
        assert (after.input, after.input_shape, after.output) == (
            *(graph.input, graph.input_shape, graph.output),
        )
        assert after.constants.keys() == graph.constants.keys()
        for name, array in graph.constants.items():
            np.testing.assert_array_equal(after.constants[name], array)

    return check


@pytest.fixture
def golden_pass(apply, golden) -> Callable[[Pass, Graph], Graph]:
    """The graph after the pass, whose text before and after is in golden/NAME OF THE PASS.txt."""

    def check(rewrite: Pass, before: Graph) -> Graph:
        after = apply(rewrite, before)
        golden(rewrite.__name__, f"{print_graph(before)}\n→\n\n{print_graph(after)}")
        return after

    return check
