from __future__ import annotations

from itertools import product

import pytest

from convforge.compiler.ir.graph import Node
from convforge.compiler.passes.fold_padding import fold_padding

WINDOW = {"stride": (2, 1), "dilation": (1, 2), "padding": (1, 0, 2, 3)}
CONV = {**WINDOW, "groups": 1}


def pad(name, source, *, padding=(1, 2, 3, 4), channels=(0, 0), fill=0.0):
    attrs = {"padding": padding, "channels": channels, "fill": fill}
    return Node(name, "pad", (source,), attrs)


def conv(name, source):
    return Node(name, "conv2d", (source, "w"), CONV)


@pytest.fixture
def weight(draw):
    return draw(4, 3, 3, 3)


def test_zeros_before_a_convolution_become_its_padding(golden_pass, make_graph, weight):
    graph = make_graph(pad("pad", "x"), conv("conv", "pad"), w=weight)
    assert golden_pass(fold_padding, graph).nodes[0].attrs["padding"] == (2, 2, 5, 7)


@pytest.mark.parametrize("padding", [p for p in product((0, 2), repeat=4) if any(p)])
def test_every_side_goes_where_it_was(apply, make_graph, weight, padding):
    graph = make_graph(pad("pad", "x", padding=padding), conv("conv", "pad"), w=weight)
    assert [node.name for node in apply(fold_padding, graph).nodes] == ["conv"]


def test_other_fills_and_channels_stay(unchanged, make_graph, draw):
    fill = make_graph(pad("pad", "x", fill=1.0), conv("conv", "pad"), w=draw(4, 3, 3, 3))
    unchanged(fold_padding, fill)
    channels = make_graph(pad("pad", "x", channels=(1, 0)), conv("c", "pad"), w=draw(4, 4, 3, 3))
    unchanged(fold_padding, channels)


def test_padding_that_somebody_else_reads_too_stays(unchanged, make_graph, weight):
    graph = make_graph(
        pad("pad", "x", padding=(2, 2, 2, 2)),
        conv("conv", "pad"),
        Node("other", "max_pool", ("pad",), {**WINDOW, "kernel": (3, 3)}),
        Node("sum", "concat", ("conv", "other"), {"axis": 1}),
        w=weight,
    )
    unchanged(fold_padding, graph)


def test_padding_that_is_the_output_stays(unchanged, make_graph, weight):
    graph = make_graph(pad("pad", "x"), conv("conv", "pad"), output="pad", w=weight)
    unchanged(fold_padding, graph)


def test_padding_before_a_pooling_stays(unchanged, make_graph):
    pool = Node("pool", "avg_pool", ("pad",), {**WINDOW, "kernel": (3, 3), "counted": (0, 0, 0, 0)})
    unchanged(fold_padding, make_graph(pad("pad", "x"), pool))


def test_only_the_nearest_of_two_folds(apply, make_graph, weight):
    graph = make_graph(pad("outer", "x"), pad("inner", "outer"), conv("conv", "inner"), w=weight)
    assert [node.name for node in apply(fold_padding, graph).nodes] == ["outer", "conv"]


def test_two_convolutions_fold_their_own(apply, make_graph, weight):
    graph = make_graph(
        pad("p1", "x"),
        conv("c1", "p1"),
        pad("p2", "x"),
        conv("c2", "p2"),
        Node("sum", "add", ("c1", "c2")),
        w=weight,
    )
    assert [node.name for node in apply(fold_padding, graph).nodes] == ["c1", "c2", "sum"]
