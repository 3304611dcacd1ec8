"""What every stage of the compiler gave, as files to read.

The graph from the front end and after each pass (00_graph.txt, 01_fold_padding.txt, …), the program
(program.txt: one call a line), the memory plan (memory.txt: one buffer a line) and the C sources
with the weight blob (c/).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from convforge.compiler.backend.memory import MemoryPlan
from convforge.compiler.backend.program import Program
from convforge.compiler.ir.graph import Graph
from convforge.compiler.ir.printer import print_graph
from convforge.errors import OutputError
from convforge.files import write_file

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from convforge.compiler.backend.places import Place


def dump_to(folder: Path) -> Callable[[str, object], None]:
    """An observer of `compile_graph` that writes to a folder, which is made where there is none.

    Files of these names are replaced, others are left alone. Raises OutputError.
    """
    try:
        (folder / "c").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{folder}: cannot be made ({error.strerror}); name another folder to dump to"
        ) from None
    graphs = 0

    def observe(step: str, result: object) -> None:
        nonlocal graphs
        if isinstance(result, Graph):
            write_file(folder / f"{graphs:02}_{step}.txt", print_graph(result).encode())
            graphs += 1
        elif isinstance(result, Program):
            write_file(folder / f"{step}.txt", print_program(result).encode())
        elif isinstance(result, MemoryPlan):
            write_file(folder / f"{step}.txt", print_memory(result).encode())
        elif isinstance(result, dict):
            _write_sources(result, folder / "c")

    return observe


def print_program(program: Program) -> str:
    """Lines `place = kernel(places; offsets of weights) : units, MACs`; sizes are in floats."""
    lines = [
        f"{_place(call.output)} = {call.kernel.name}"
        f"({', '.join(map(_place, call.inputs))}; {', '.join(map(str, call.weights))})"
        f" : {call.units} units, {call.macs} MACs"
        for call in program.calls
    ]
    ends = [f"from {program.input} to {program.output}, {program.weights.size} floats of weights"]
    return "\n".join([*ends, *lines]) + "\n"


def print_memory(plan: MemoryPlan) -> str:
    """Lines `offset name`, in bytes, in the order of the arena."""
    head = f"{plan.arena_bytes} bytes, no plan needs less than {plan.lower_bound}"
    rows = sorted((offset, name) for name, offset in plan.offsets.items())
    return "\n".join([head, *(f"{offset:>12} {name}" for offset, name in rows)]) + "\n"


def _place(place: Place) -> str:
    return place.buffer if place.offset == 0 else f"{place.buffer}[{place.offset}:]"


def _write_sources(sources: Mapping[str, bytes | memoryview], folder: Path) -> None:
    for name, content in sources.items():
        write_file(folder / name, content)
