from __future__ import annotations

from dataclasses import replace

import pytest

from convforge.compiler.ir.graph import Node
from convforge.compiler.ir.printer import print_graph
from convforge.compiler.passes.order import PASSES, run_passes
from convforge.errors import VerifyError

WINDOW = {"stride": (1, 1), "dilation": (1, 1), "padding": (0, 0, 0, 0)}
PARAMETERS = ("gamma", "beta", "mean", "variance")


@pytest.fixture
def graph(make_graph, draw):
    """pad → conv → batch norm → ReLU, twice, with a sum around the second."""
    pad = {"padding": (0, 0, 2, 2), "channels": (0, 0), "fill": 0.0}
    conv = {**WINDOW, "groups": 1}

    def block(number, source):
        return (
            Node(f"pad{number}", "pad", (source,), pad),
            Node(f"conv{number}", "conv2d", (f"pad{number}", "w"), conv),
            Node(f"bn{number}", "batch_norm", (f"conv{number}", *PARAMETERS), {"eps": 1e-5}),
            Node(f"relu{number}", "elementwise", (f"bn{number}",), {}, (("relu",),)),
        )

    return make_graph(
        *block(1, "x"),
        *block(2, "relu1"),
        Node("sum", "add", ("relu2", "relu1")),
        Node("out", "elementwise", ("sum",), {}, (("relu",),)),
        w=draw(3, 3, 3, 3),
        gamma=draw(3),
        beta=draw(3),
        mean=draw(3),
        variance=draw(3) ** 2,
    )


def test_a_residual_block_becomes_two_convolutions_and_a_sum(apply, golden, graph):
    after = apply(run_passes, graph)
    assert [node.name for node in after.nodes] == ["conv1", "conv2", "sum"]
    golden("run_passes", f"{print_graph(graph)}\n→\n\n{print_graph(after)}")


def test_running_the_passes_again_changes_nothing(unchanged, graph):
    unchanged(run_passes, run_passes(graph))


def test_every_pass_is_observed_in_its_order(graph):
    seen = []
    last = run_passes(graph, observe=lambda name, after: seen.append((name, after)))
    assert [name for name, _ in seen] == [rewrite.__name__ for rewrite in PASSES]
    assert seen[-1][1] is last


def test_a_graph_that_breaks_a_rule_is_refused_before_the_first_pass(graph):
    with pytest.raises(VerifyError, match="'nothing' is not a computed value"):
        run_passes(replace(graph, output="nothing"))


def test_a_pass_that_breaks_a_rule_is_caught(graph):
    def forget_the_last(before):
        return replace(before, nodes=before.nodes[:-1])

    with pytest.raises(VerifyError, match="'out' is not a computed value"):
        run_passes(graph, (forget_the_last,))
