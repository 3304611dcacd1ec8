from __future__ import annotations

from itertools import permutations

import pytest

from convforge.compiler.ir.graph import Node
from convforge.compiler.passes.merge_transposes import merge_transposes


def turn(name, source, *perm):
    return Node(name, "transpose", (source,), {"perm": perm})


def relu(name, source):
    return Node(name, "elementwise", (source,), {}, (("relu",),))


def test_a_transpose_and_its_inverse_are_nothing_and_others_are_one(golden_pass, make_graph):
    graph = make_graph(
        turn("to_last", "x", 0, 2, 3, 1),
        turn("back", "to_last", 0, 3, 1, 2),
        relu("relu", "back"),
        turn("a", "relu", 0, 2, 3, 1),
        turn("b", "a", 0, 2, 3, 1),
    )
    after = golden_pass(merge_transposes, graph)
    assert after.nodes == (relu("relu", "x"), turn("b", "relu", 0, 3, 1, 2))


@pytest.mark.parametrize("first", list(permutations(range(3))))
@pytest.mark.parametrize("second", list(permutations(range(3))))
def test_any_two_become_the_one_that_does_both(apply, make_graph, first, second):
    graph = make_graph(turn("a", "x", *first), turn("b", "a", *second), shape=(2, 3, 4))
    assert len(apply(merge_transposes, graph).nodes) <= 1


def test_three_become_one(apply, make_graph):
    perm = (0, 2, 3, 1)
    graph = make_graph(turn("a", "x", *perm), turn("b", "a", *perm), turn("c", "b", *perm))
    after = apply(merge_transposes, graph)
    assert (after.nodes, after.output) == ((), "x")


def test_the_first_stays_where_somebody_else_reads_it(apply, make_graph):
    graph = make_graph(
        turn("a", "x", 0, 2, 3, 1),
        turn("b", "a", 0, 3, 1, 2),
        relu("relu", "a"),
        turn("c", "relu", 0, 3, 1, 2),
        Node("sum", "add", ("b", "c")),
    )
    after = apply(merge_transposes, graph)
    assert [node.name for node in after.nodes] == ["a", "relu", "c", "sum"]
    assert after.nodes[-1].inputs == ("x", "c")


def test_transposes_with_something_between_stay(unchanged, make_graph):
    graph = make_graph(
        turn("a", "x", 0, 2, 3, 1),
        Node("flat", "reshape", ("a",), {"shape": (1, 6, 3, 6)}),
        turn("b", "flat", 0, 3, 1, 2),
    )
    unchanged(merge_transposes, graph)
