from __future__ import annotations

from dataclasses import replace

import pytest

from convforge.compiler.ir.graph import Node
from convforge.compiler.ir.ops import POINTWISE
from convforge.compiler.passes.fuse_pair import fuse_pair

WINDOW = {"stride": (1, 1), "dilation": (1, 1), "padding": (0, 0, 0, 0)}
DEPTHWISE = {"stride": (2, 2), "dilation": (1, 1), "padding": (1, 1, 1, 1), "groups": 8}
RELU6 = (("clip", 0.0, 6.0),)


@pytest.fixture
def block(make_graph, draw):
    """An inverted residual's first two layers, the second one without bias, and its last."""
    return make_graph(
        Node("first", "max_pool", ("x",), {**WINDOW, "kernel": (2, 2)}),
        Node("expand", "conv2d", ("first", "w", "b"), POINTWISE, RELU6),
        Node("filter", "conv2d", ("expand", "f"), DEPTHWISE, RELU6),
        Node("project", "conv2d", ("filter", "p"), POINTWISE),
        w=draw(8, 3, 1, 1),
        b=draw(8),
        f=draw(8, 1, 3, 3),
        p=draw(3, 8, 1, 1),
    )


def test_the_beginning_of_an_inverted_residual_is_one_layer(golden_pass, block):
    after = golden_pass(fuse_pair, block)
    _, pair, project = after.nodes
    assert (pair.name, pair.op, pair.between, pair.epilogue) == (
        "filter",
        "conv2d_pair",
        RELU6,
        RELU6,
    )
    assert project == block.nodes[3]


def changed(block, position, **attrs):
    nodes = list(block.nodes)
    nodes[position] = replace(nodes[position], attrs={**nodes[position].attrs, **attrs})
    return replace(block, nodes=tuple(nodes))


def test_what_stays(unchanged, block, draw):
    for attrs in {"stride": (2, 2)}, {"padding": (1, 1, 1, 1)}:
        unchanged(fuse_pair, changed(block, 1, **attrs))
    unchanged(fuse_pair, changed(block, 2, stride=(3, 1)))
    dense = {**block.constants, "w": draw(8, 3, 3, 3)}
    unchanged(fuse_pair, replace(block, constants=dense))
    grouped = {**block.constants, "f": draw(8, 2, 3, 3)}
    unchanged(fuse_pair, replace(changed(block, 2, groups=4), constants=grouped))


def test_the_first_layer_of_a_network_may_be_any_convolution(apply, block, draw):
    _, expand, *rest = block.nodes
    stem = replace(expand, inputs=("x", "w", "b"), attrs={**DEPTHWISE, "groups": 1})
    constants = {**block.constants, "w": draw(8, 3, 3, 3)}
    after = apply(fuse_pair, replace(block, nodes=(stem, *rest), constants=constants))
    pair, _ = after.nodes
    assert pair.op == "conv2d_pair"
    assert (pair.attrs["mix_stride"], pair.attrs["mix_padding"]) == ((2, 2), (1, 1, 1, 1))


def test_a_map_that_others_read_is_computed(unchanged, block):
    again = Node("end", "mean", ("expand",), {"axes": (2, 3)})
    end = Node("sum", "add", ("project", "end'"))
    third = Node("end'", "slice", ("end",), {"axis": 1, "start": 0, "stop": 3, "step": 1})
    unchanged(fuse_pair, replace(block, nodes=(*block.nodes, again, third, end), output="sum"))
