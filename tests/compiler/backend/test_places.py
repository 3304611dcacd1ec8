from __future__ import annotations

import numpy as np
import pytest

from convforge.compiler.backend.places import Place, place_values
from convforge.compiler.backend.program import build_program
from convforge.compiler.ir import reference
from convforge.compiler.ir.graph import Node
from convforge.compiler.ir.verify import verify
from convforge.compiler.kernels.family import Layout

POOL = {"kernel": (3, 3), "stride": (2, 2), "dilation": (1, 1), "padding": (1, 1, 1, 1)}


def act(name, source, step="tanh"):
    return Node(name, "elementwise", (source,), {}, ((step,),))


def join(name, *sources, axis=1):
    return Node(name, "concat", sources, {"axis": axis})


def cut(name, source, *, start, stop, axis=1, step=1):
    attrs = {"axis": axis, "start": start, "stop": stop, "step": step}
    return Node(name, "slice", (source,), attrs)


def copies(graph):
    """Names of the values that a program copies."""
    names = [call.layer.node.name for call in build_program(graph).calls]
    return [name.removesuffix(", copy") for name in names if name.endswith(", copy")]


@pytest.fixture
def check(open_compiled):
    """The compiled graph gives what its reference gives; hands back the names of what it copies."""

    def run(graph):
        verify(graph)
        x = np.random.default_rng(0).standard_normal(graph.input_shape, np.float32)
        found = open_compiled(graph, None).run(x)
        np.testing.assert_allclose(found, reference.evaluate(graph, x), rtol=1e-5, atol=1e-6)
        return copies(graph)

    return run


def test_what_is_joined_is_written_where_it_belongs(make_graph, check):
    graph = make_graph(act("a", "x"), act("b", "x", "relu"), join("j", "a", "b"), act("y", "j"))
    places = place_values(graph, {})
    assert (places["a"], places["b"], places["j"]) == (Place("j"), Place("j", 108), Place("j"))
    assert check(graph) == []


def test_every_layer_of_a_dense_block_joins_all_before_it_without_a_copy(make_graph, check):
    nodes = [act("f0", "x")]
    for i in range(1, 5):
        nodes.append(join(f"j{i}", *(f"f{k}" for k in range(i))))
        nodes.append(cut(f"c{i}", f"j{i}", start=0, stop=2))
        nodes.append(act(f"f{i}", f"c{i}", "sigmoid"))
    nodes += [join("all", *(f"f{k}" for k in range(5))), act("y", "all")]
    graph = make_graph(*nodes)
    assert {
        places.buffer for name, places in place_values(graph, {}).items() if name[0] in "fjc"
    } == {"all"}
    assert check(graph) == []


def test_a_join_of_joins_is_one_buffer(make_graph, check):
    graph = make_graph(
        *(
            act(name, "x", step)
            for name, step in zip("abcd", ("tanh", "relu", "silu", "tanh"), strict=True)
        ),
        join("left", "a", "b"),
        join("right", "c", "d"),
        join("all", "left", "right"),
        act("y", "all"),
    )
    assert place_values(graph, {})["d"] == Place("all", 324)
    assert check(graph) == []


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        pytest.param((join("j", "x", "a"),), ["x"], id="the caller's input"),
        pytest.param((join("j", "a", "a"),), ["a"], id="the same value twice"),
        pytest.param(
            (join("j", "a", "b"), join("k", "b", "a"), join("m", "j", "k")),
            ["b", "a"],
            id="two orders",
        ),
        pytest.param(
            (cut("s", "a", start=1, stop=3), join("j", "s", "b")), ["s"], id="a part of another"
        ),
    ],
)
def test_what_has_another_place_is_copied(make_graph, check, nodes, expected):
    graph = make_graph(act("a", "x"), act("b", "x", "relu"), *nodes, act("y", nodes[-1].name))
    assert sorted(check(graph)) == sorted(expected)


def test_the_networks_output_is_a_buffer_of_its_own(make_graph, check):
    graph = make_graph(act("a", "x"), act("b", "a"), join("j", "a", "b"), output="a")
    assert build_program(graph).output == "a"
    check(graph)
    graph = make_graph(act("a", "x"), cut("y", "a", start=1, stop=2))
    assert check(graph) == ["y"]
    assert check(make_graph(cut("y", "x", start=1, stop=2))) == ["y"]


def test_a_slice_of_whole_channels_is_a_view_of_them(make_graph, check):
    graph = make_graph(act("a", "x"), cut("s", "a", start=1, stop=3), act("y", "s"))
    assert place_values(graph, {})["s"] == Place("a", 36)
    assert check(graph) == []


@pytest.mark.parametrize(
    "node",
    [
        cut("s", "a", start=0, stop=4, axis=3),
        cut("s", "a", start=0, stop=3, step=2),
        join("s", "a", "x", axis=2),
    ],
)
def test_what_is_scattered_in_memory_is_no_view(make_graph, check, node):
    graph = make_graph(act("a", "x"), node, act("y", "s"))
    assert place_values(graph, {})["s"] == Place("s")
    check(graph)


def test_a_batch_is_joined_image_by_image(make_graph, check):
    nodes = (act("a", "x"), join("j", "a", "x"), cut("s", "j", start=1, stop=4), act("y", "s"))
    graph = make_graph(*nodes, shape=(3, 3, 6, 6))
    assert place_values(graph, {})["s"] == Place("s")
    assert check(graph) == []


def test_the_images_of_a_batch_go_through_a_layer_one_by_one(make_graph, check, draw):
    window = {"stride": (1, 1), "dilation": (1, 1), "padding": (1, 1, 1, 1), "groups": 1}
    graph = make_graph(
        Node("c", "conv2d", ("x", "w", "b"), window),
        Node("p", "max_pool", ("c",), POOL),
        shape=(3, 3, 6, 6),
        w=draw(20, 3, 3, 3),
        b=draw(20),
    )
    assert [call.images for call in build_program(graph).calls] == [3, 3]
    check(graph)


def test_what_is_joined_of_bf16_takes_half_the_room_and_whole_blocks(make_graph):
    def placed(channels):
        graph = make_graph(
            act("a", "x"), act("b", "x"), join("j", "a", "b"), shape=(1, channels, 3, 3)
        )
        return place_values(graph, dict.fromkeys("abj", Layout.BF16))

    assert placed(64)["b"] == Place("j", 64 * 9 // 2)
    assert placed(48)["b"] == Place("b")


def test_a_slice_of_bf16_begins_at_half_as_many_floats(make_graph):
    graph = make_graph(act("a", "x"), cut("s", "a", start=32, stop=64), shape=(1, 64, 3, 3))
    assert place_values(graph, dict.fromkeys("as", Layout.BF16))["s"] == Place("a", 32 * 9 // 2)
