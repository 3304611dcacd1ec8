from __future__ import annotations

import pytest

from convforge.compiler.ir.graph import Node
from convforge.compiler.passes.remove_identities import remove_identities

RELU = (("relu",),)


def step(name, source, *steps):
    return Node(name, "elementwise", (source,), {}, steps)


def slice_(name, source, start, stop, *, axis=1, step=1):
    attrs = {"axis": axis, "start": start, "stop": stop, "step": step}
    return Node(name, "slice", (source,), attrs)


def pad(*sides):
    return {"padding": sides, "channels": (0, 0), "fill": 0.0}


def test_what_changes_nothing_goes(golden_pass, make_graph):
    graph = make_graph(
        slice_("whole", "x", 0, 3),
        Node("reshaped", "reshape", ("whole",), {"shape": (1, 3, 6, 6)}),
        Node("turned", "transpose", ("reshaped",), {"perm": (0, 1, 2, 3)}),
        Node("one", "concat", ("turned",), {"axis": 2}),
        Node("padded", "pad", ("one",), pad(0, 0, 0, 0)),
        step("relu", "padded", ("relu",)),
        step("nothing", "relu"),
    )
    after = golden_pass(remove_identities, graph)
    assert (after.nodes, after.output) == ((step("relu", "x", ("relu",)),), "relu")


def test_a_slice_of_a_concatenation_is_the_part(apply, make_graph):
    graph = make_graph(
        step("a", "x", ("relu",)),
        step("b", "x", ("tanh",)),
        Node("joined", "concat", ("a", "b", "x"), {"axis": 1}),
        slice_("first", "joined", 0, 3),
        slice_("second", "joined", 3, 6),
        slice_("third", "joined", 6, 9),
        Node("sum", "add", ("second", "third")),
        Node("more", "add", ("sum", "first")),
    )
    after = apply(remove_identities, graph)
    assert [node.name for node in after.nodes] == ["a", "b", "sum", "more"]


@pytest.mark.parametrize(
    "part",
    [
        slice_("part", "joined", 0, 2),
        slice_("part", "joined", 2, 5),
        slice_("part", "joined", 0, 3, step=2),
        slice_("part", "joined", 0, 3, axis=2),
    ],
)
def test_other_slices_stay(unchanged, make_graph, part):
    joined = Node("joined", "concat", ("x", "x"), {"axis": 1})
    unchanged(remove_identities, make_graph(joined, part))


def test_a_transpose_of_axes_of_one_place_is_a_reshape(apply, make_graph):
    turned = Node("turned", "transpose", ("x",), {"perm": (0, 2, 3, 1)})
    after = apply(remove_identities, make_graph(turned, shape=(1, 5, 1, 1)))
    assert after.nodes == (Node("turned", "reshape", ("x",), {"shape": (1, 1, 1, 5)}),)


@pytest.mark.parametrize(
    "node",
    [
        slice_("y", "x", 1, 3),
        Node("y", "reshape", ("x",), {"shape": (1, 108)}),
        Node("y", "transpose", ("x",), {"perm": (0, 1, 3, 2)}),
        Node("y", "concat", ("x", "x"), {"axis": 1}),
        Node("y", "pad", ("x",), pad(0, 1, 0, 0)),
        step("y", "x", ("relu",)),
        Node("y", "softmax", ("x",), {"axis": 0}),
    ],
)
def test_what_changes_something_stays(unchanged, make_graph, node):
    unchanged(remove_identities, make_graph(node))


def test_the_input_may_become_the_output(apply, make_graph):
    after = apply(remove_identities, make_graph(step("y", "x")))
    assert (after.nodes, after.output) == ((), "x")
