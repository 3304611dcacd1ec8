from __future__ import annotations

import numpy as np
import pytest

from convforge.compiler.backend.emit import plan_arena
from convforge.compiler.backend.program import build_program
from convforge.compiler.backend.schedule import build_schedule
from convforge.compiler.dump import dump_to, print_memory, print_program
from convforge.compiler.ir.graph import Node
from convforge.compiler.ir.printer import print_graph
from convforge.errors import OutputError

WINDOW = {"stride": (1, 1), "dilation": (1, 1), "padding": (0, 0, 0, 0)}


@pytest.fixture
def graph(make_graph, draw):
    """A convolution to 4 maps of 4x4 and their largest of each 2x2."""
    nodes = (
        Node("c", "conv2d", ("x", "w"), {**WINDOW, "groups": 1}),
        Node("p", "max_pool", ("c",), {**WINDOW, "kernel": (2, 2)}),
    )
    return make_graph(*nodes, shape=(1, 3, 6, 6), w=draw(4, 3, 3, 3))


def test_a_program_has_a_line_a_call(graph):
    program = build_program(graph)
    head, *lines = print_program(program).splitlines()
    assert head == f"from x to p, {program.weights.size} floats of weights"
    assert len(lines) == len(program.calls)
    for line, call in zip(lines, program.calls, strict=True):
        assert line.startswith(f"{call.output.buffer} = {call.kernel.name}(")
        assert line.endswith(f" : {call.units} units, {call.macs} MACs")
    assert any(" 1728 MACs" in line for line in lines)


def test_a_plan_has_a_line_a_buffer_in_the_order_of_the_arena(graph):
    program = build_program(graph)
    plan = plan_arena(program, build_schedule(program))
    head, *lines = print_memory(plan).splitlines()
    assert head == f"{plan.arena_bytes} bytes, no plan needs less than {plan.lower_bound}"
    rows = [(int(offset), name) for offset, name in (line.split(maxsplit=1) for line in lines)]
    assert rows == sorted((offset, name) for name, offset in plan.offsets.items())


def test_graphs_are_numbered_and_sources_written_as_they_are(graph, tmp_path):
    observe = dump_to(tmp_path / "a" / "b")
    observe("graph", graph)
    observe("fold_padding", graph)
    observe("sources", {"model.c": b"int x;\n", "weights.bin": np.float32([1]).tobytes()})
    observe("library", b"\x7fELF")
    folder = tmp_path / "a" / "b"
    assert (folder / "00_graph.txt").read_text() == print_graph(graph)
    assert (folder / "01_fold_padding.txt").read_text() == print_graph(graph)
    assert (folder / "c" / "model.c").read_text() == "int x;\n"
    assert (folder / "c" / "weights.bin").read_bytes() == np.float32([1]).tobytes()
    names = {path.name for path in folder.rglob("*") if path.is_file()}
    assert names == {"00_graph.txt", "01_fold_padding.txt", "model.c", "weights.bin"}


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"cannot be made .*name another folder to dump to"):
        dump_to(tmp_path / "file")
