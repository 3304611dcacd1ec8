from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from convforge.card import Card
from convforge.compiler.ir.graph import Graph, Node
from convforge.compiler.pipeline import compile_graph
from convforge.compiler.proof import deviation, prove
from convforge.errors import ToolchainError
from convforge.images.preprocess import Preprocess

CARD = Card(
    network="",
    arguments={},
    classes=("no", "yes"),
    preprocess=Preprocess(resize=(4, 4), crop=(4, 4), mean=(0.0,), std=(255.0,)),
)


@pytest.fixture
def graph(draw):
    nodes = (
        Node("flat", "reshape", ("x",), {"shape": (1, 16)}),
        Node("fc", "linear", ("flat", "w")),
    )
    return Graph("x", (1, 1, 4, 4), nodes, {"w": draw(2, 16)}, "fc")


def test_an_artifact_that_computes_what_the_model_did_is_proven(graph, baseline):
    compiled = compile_graph(graph, card=CARD, target=baseline)
    prove(compiled.built.path, baseline)
    assert deviation(compiled, CARD, target=baseline) <= 1e-6


def test_an_artifact_that_computes_something_else_is_refused(graph, baseline):
    compiled = compile_graph(
        graph, card=CARD, target=baseline, expected=lambda _x: np.float32([[1.0, -2.0]])
    )
    with pytest.raises(ToolchainError, match=r"fails its self-test: .*; nothing was written"):
        prove(compiled.built.path, baseline)


def test_the_deviation_is_a_share_of_the_largest_output(graph, baseline):
    compiled = compile_graph(graph, card=CARD, target=baseline)
    expected = compiled.selftest.expected
    further = expected + np.float32([0.0, 0.25]) * np.abs(expected).max()
    moved = replace(compiled, selftest=replace(compiled.selftest, expected=further))
    share = 0.25 * np.abs(expected).max() / np.abs(further).max()
    assert deviation(moved, CARD, target=baseline) == pytest.approx(share, rel=1e-4)
