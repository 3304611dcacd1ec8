"""How fast a run passes through its course: a step a step, or faster where time has become short.

The course is what the recipe plans, `steps` steps from the warm-up to the last rate. A run that has
to end sooner takes longer strides through the rest of it, so that it still comes to its end:

    place(step) = place(since) + (step - since) · stride
    stride = (steps - place(since)) / (end - since)

Rates, small images and the average of the weights go by the place. Without a change the place is
the step itself, to the bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@dataclass(frozen=True, kw_only=True)
class Pace:
    """A course of `steps`, whose place at step `since` is `place`; after step `end` it is over."""

    steps: int
    end: int
    since: int = 0
    place: float = 0.0

    @classmethod
    def of(cls, steps: int, changes: Iterable[Mapping[str, int]] = ()) -> Pace:
        """After `changes`, each of which says at which "step" what became the "end"."""
        pace = cls(steps=steps, end=steps)
        for change in changes:
            pace = pace.ending(change["end"], step=change["step"])
        return pace

    @property
    def stride(self) -> float:
        """Steps of the course that one step takes."""
        return (self.steps - self.place) / (self.end - self.since)

    def at(self, step: float) -> float:
        """The place in the course, in its steps, after `step` steps."""
        return self.place + (step - self.since) * self.stride

    def done(self, step: float) -> float:
        """The share of the course that is over after `step` steps."""
        return self.at(step) / self.steps

    def ending(self, end: int, *, step: int) -> Pace:
        """From `step` on so that the course is over after step `end`, which comes later."""
        return Pace(steps=self.steps, end=end, since=step, place=self.at(step))

    def latest(self, step: int) -> int:
        """The end without longer strides than the recipe plans from `step` on."""
        return max(self.end, step + int(self.steps - self.at(step)))
