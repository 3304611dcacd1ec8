from __future__ import annotations

import pytest

from convforge.compiler.backend.program import build_program
from convforge.compiler.backend.schedule import Lifetime, build_schedule
from convforge.compiler.ir.graph import Node


def step(name, source):
    return Node(name, "elementwise", (source,), {}, (("relu",),))


def lifetimes(graph):
    return build_schedule(build_program(graph)).lifetimes


def test_a_buffer_lives_from_its_call_to_its_last_reader(make_graph):
    graph = make_graph(
        step("a", "x"),
        step("b", "a"),
        Node("c", "add", ("b", "a")),
        Node("flat", "reshape", ("c",), {"shape": (1, 108)}),
        Node("d", "add", ("flat", "flat")),
    )
    assert lifetimes(graph) == {
        "x": Lifetime(0, 1),
        "a": Lifetime(1, 3),
        "b": Lifetime(2, 3),
        "c": Lifetime(3, 4),
    }


def test_the_output_lies_in_the_callers_memory(make_graph):
    assert set(lifetimes(make_graph(step("a", "x"), step("b", "a"), output="a"))) == {"x", "b"}


@pytest.mark.parametrize(
    ("a", "b", "overlap"),
    [
        ((0, 1), (2, 3), False),
        ((0, 2), (2, 3), True),
        ((0, 9), (3, 4), True),
        ((4, 4), (4, 4), True),
        ((5, 6), (1, 4), False),
    ],
)
def test_lifetimes_include_both_ends(a, b, overlap):
    assert Lifetime(*a).overlaps(Lifetime(*b)) is overlap
    assert Lifetime(*b).overlaps(Lifetime(*a)) is overlap
