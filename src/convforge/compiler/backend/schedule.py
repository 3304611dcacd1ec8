"""The schedule: when each buffer is written first and read last.

Calls run in the program's order, one after the other. Step 0 is the preprocessing, which writes the
input; call i is step i + 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from convforge.compiler.backend.program import Call, Program


@dataclass(frozen=True)
class Lifetime:
    """A buffer holds something from step `first` to step `last`, both included."""

    first: int
    last: int

    def overlaps(self, other: Lifetime) -> bool:
        """Whether both hold something at one step."""
        return self.first <= other.last and other.first <= self.last


@dataclass(frozen=True)
class Schedule:
    """Calls in the order in which they run, and the lifetime of every buffer in memory."""

    calls: tuple[Call, ...]
    lifetimes: dict[str, Lifetime]


def build_schedule(program: Program) -> Schedule:
    """Lifetimes of a program's buffers.

    The output has none: the caller's memory holds it. The input has one even where it is the output
    too, for the preprocessing writes it.
    """
    first, last = {program.input: 0}, {program.input: 0}
    for step, call in enumerate(program.calls, start=1):
        first[call.output] = last[call.output] = step
        if call.workspace:
            first[call.workspace] = last[call.workspace] = step
        for name in call.inputs:
            last[name] = step
    if program.output != program.input:
        del first[program.output]
    return Schedule(program.calls, {name: Lifetime(first[name], last[name]) for name in first})
