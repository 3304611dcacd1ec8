from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from convforge.compiler.backend.program import Place, build_program
from convforge.compiler.ir.graph import Node
from convforge.compiler.kernels.family import ALIGNMENT

CONV = {"stride": (1, 1), "dilation": (1, 1), "padding": (1, 1, 1, 1), "groups": 1}


@pytest.fixture
def graph(make_graph, draw):
    """conv → flatten → linear → ReLU"""
    return make_graph(
        Node("a.conv", "conv2d", ("x", "w", "b"), CONV),
        Node("flat", "reshape", ("a.conv",), {"shape": (1, 576)}),
        Node("fc", "linear", ("flat", "v")),
        Node("relu", "elementwise", ("fc",), {}, (("relu",),)),
        w=draw(16, 3, 3, 3),
        b=draw(16),
        v=draw(5, 576),
    )


def test_flattening_is_no_call_and_shares_its_sources_buffer(graph):
    program = build_program(graph)
    assert [call.output for call in program.calls] == list(map(Place, ("a.conv", "fc", "relu")))
    assert [call.inputs for call in program.calls] == [(Place(n),) for n in ("x", "a.conv", "fc")]
    assert "flat" not in program.buffers


def test_a_buffer_holds_its_value(graph):
    assert build_program(graph).buffers == {"x": 108, "a.conv": 576, "fc": 5, "relu": 5}


def test_a_flattened_output_is_its_sources_buffer(graph):
    program = build_program(replace(graph, nodes=graph.nodes[:2], output="flat"))
    assert program.output == "a.conv"


def test_an_output_that_is_the_input_is_copied_from_it(make_graph):
    program = build_program(make_graph(Node("flat", "reshape", ("x",), {"shape": (1, 108)})))
    (call,) = program.calls
    assert (call.inputs, call.output.buffer) == ((Place("x"),), program.output)
    assert program.buffers == {"x": 108, program.output: 108}
    assert program.weight_bytes == 0


def test_weights_are_aligned_and_where_the_call_says(graph):
    program = build_program(graph)
    for call in program.calls:
        for offset, array in zip(call.weights, call.kernel.pack(call.layer), strict=True):
            assert 4 * offset % ALIGNMENT == 0
            stored = program.weights[offset : offset + array.size]
            np.testing.assert_array_equal(stored, array.ravel())
    assert program.weight_bytes == program.weights.nbytes
    assert program.weights.dtype == np.float32


def test_symbols_are_names_in_c_and_distinct(graph):
    nodes = [replace(graph.nodes[0], name=name) for name in ("a.b", "a_b", "가", "1 + 2", "")]
    program = build_program(replace(graph, nodes=tuple(nodes), output="a.b"))
    suffixes = [call.symbol.removeprefix(f"layer_00{i}_") for i, call in enumerate(program.calls)]
    assert suffixes == ["a_b", "a_b", "_", "1___2", ""]


def test_a_thread_needs_the_largest_workspace(make_graph, draw):
    convs = [Node(f"c{i}", "conv2d", ("x", f"w{i}"), CONV) for i in range(2)]
    graph = make_graph(*convs, shape=(1, 64, 9, 9), w0=draw(64, 64, 3, 3), w1=draw(64, 64, 3, 3))
    program = build_program(graph)
    sizes = [call.kernel.workspace(call.layer) for call in program.calls]
    assert 0 <= program.workspace_bytes - 4 * max(sizes) < ALIGNMENT
    assert program.workspace_bytes % ALIGNMENT == 0
