from __future__ import annotations

from dataclasses import replace

import pytest

from convforge.compiler.ir.graph import Node
from convforge.compiler.passes.fuse_addition import fuse_addition

CONV = {"stride": (1, 1), "dilation": (1, 1), "padding": (1, 1, 1, 1), "groups": 1}
RELU = (("relu",),)


@pytest.fixture
def block(make_graph, draw):
    """Two convolutions around which the first one's result is carried."""
    return make_graph(
        Node("a", "conv2d", ("x", "w", "b"), CONV, RELU),
        Node("c", "conv2d", ("a", "v", "b"), CONV),
        Node("sum", "add", ("a", "c"), {}, RELU),
        w=draw(4, 3, 3, 3),
        v=draw(4, 4, 3, 3),
        b=draw(4),
    )


def test_the_end_of_a_residual_block_is_one_layer(golden_pass, block):
    after = golden_pass(fuse_addition, block)
    assert [(node.name, node.op) for node in after.nodes] == [
        ("a", "conv2d"),
        ("sum", "conv2d_add"),
    ]
    assert after.nodes[1].inputs == ("a", "a", "v", "b")
    assert after.nodes[1].epilogue == RELU


def test_of_two_convolutions_one_takes_the_sum(apply, block):
    nodes = (block.nodes[0], block.nodes[1], replace(block.nodes[1], name="d"))
    graph = replace(block, nodes=(*nodes, Node("sum", "add", ("c", "d"))), output="sum")
    after = apply(fuse_addition, graph)
    assert [node.name for node in after.nodes] == ["a", "d", "sum"]


@pytest.mark.parametrize(
    ("change", "more"),
    [
        ({"epilogue": RELU}, ()),
        ({}, (Node("again", "max_pool", ("c",), {**CONV, "kernel": (3, 3)}),)),
    ],
    ids=["an epilogue", "another reader"],
)
def test_what_stays(unchanged, block, change, more):
    a, c, total = block.nodes
    for node in more:
        node.attrs.pop("groups", None)
    tail = [Node("end", "add", ("sum", node.name)) for node in more]
    graph = replace(block, nodes=(a, replace(c, **change), *more, total, *tail))
    unchanged(fuse_addition, replace(graph, output=graph.nodes[-1].name))


def test_sums_that_broadcast_stay(unchanged, make_graph, draw):
    graph = make_graph(
        Node("c", "conv2d", ("x", "w"), CONV),
        Node("p", "mean", ("c",), {"axes": (2, 3)}),
        Node("d", "conv2d", ("p", "v"), CONV),
        Node("sum", "add", ("c", "d")),
        Node("twice", "add", ("sum", "one")),
        w=draw(4, 3, 3, 3),
        v=draw(4, 4, 3, 3),
        one=draw(1, 4, 1, 1),
    )
    unchanged(fuse_addition, graph)
