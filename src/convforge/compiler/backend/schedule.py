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
    """Lifetimes of a program's buffers: from the first write to any part of one to the last read.

    The output has none: the caller's memory holds it.
    """
    first, last = {program.input: 0}, {program.input: 0}
    for step, call in enumerate(program.calls, start=1):
        first.setdefault(call.output.buffer, step)
        for place in (*call.inputs, call.output):
            last[place.buffer] = step
    del first[program.output]
    return Schedule(program.calls, {name: Lifetime(first[name], last[name]) for name in first})
