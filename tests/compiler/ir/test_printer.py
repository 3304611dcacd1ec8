from __future__ import annotations

import numpy as np

from convforge.compiler.ir.graph import Node
from convforge.compiler.ir.printer import print_graph

WINDOW = {"stride": (1, 2), "dilation": (1, 1), "padding": (1, 0, 1, 0)}


def test_a_graph_prints_one_node_a_line_with_shapes_attributes_and_epilogue(make_graph):
    graph = make_graph(
        Node("conv", "conv2d", ("x", "w", "b"), {"groups": 1, **WINDOW}, (("clip", 0.0, 6.0),)),
        Node("lrn", "lrn", ("conv",), {"size": 5, "k": 2.0, "beta": 0.75, "alpha": 1e-4}),
        Node("y", "elementwise", ("lrn",), {}, (("affine", 1 / 3, -1e-7), ("relu",))),
        w=np.ones((4, 3, 3, 3)),
        b=np.ones(4),
    )
    assert print_graph(graph) == (
        "x : 1x3x6x6\n"
        "conv = conv2d(x, w[4x3x3x3], b[4]) dilation=1,1 groups=1 padding=1,0,1,0 stride=1,2"
        " | clip 0 6 : 1x4x6x2\n"
        "lrn = lrn(conv) alpha=0.0001 beta=0.75 k=2 size=5 : 1x4x6x2\n"
        "y = elementwise(lrn) | affine 0.333333333 -1e-07 | relu : 1x4x6x2\n"
        "return y\n"
    )


def test_the_order_of_attributes_does_not_show(make_graph):
    attrs = {**WINDOW, "kernel": (2, 2)}
    texts = {
        print_graph(make_graph(Node("p", "max_pool", ("x",), dict(items))))
        for items in (attrs.items(), reversed(attrs.items()))
    }
    assert len(texts) == 1


def test_a_graph_without_nodes_prints_its_input(make_graph):
    graph = make_graph(Node("y", "elementwise", ("x",))).rewritten((), constants={}, output="x")
    assert print_graph(graph) == "x : 1x3x6x6\nreturn x\n"
