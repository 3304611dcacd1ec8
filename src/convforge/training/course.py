"""The course of a run: how far it is, what it has seen, and whether it still converges.

All of it is plain JSON, and part of the state that a run is taken up again from.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from convforge.errors import RecipeError

if TYPE_CHECKING:
    from convforge.training.pace import Pace

DIVERGED = 4  # times the loss of the beginning, or of chance: where a run is given up
FEW_STEPS = 100  # of a whole run: where having learnt nothing says nothing of the learning rate
_MEMORY = 0.9  # of the running mean of the loss that is watched
_BEGINNING = 10  # steps whose largest loss is the beginning's


@dataclass(frozen=True)
class Fitted:
    """One epoch, or the part of it that is done: mean loss, share of right answers, of `count`.

    Of augmented images, while the network still changed: signs of progress, no measure of quality.
    """

    count: int = 0
    loss: float = 0.0
    accuracy: float = 0.0

    def add(self, *, count: int, loss: float, right: int) -> Fitted:
        """The running means after one more batch."""
        total = self.count + count
        return Fitted(
            count=total,
            loss=self.loss + (loss - self.loss) * count / total,
            accuracy=self.accuracy + (right / count - self.accuracy) * count / total,
        )


@dataclass(kw_only=True)
class Course:
    """What changes from step to step, but for the network.

    `step` steps are done; `seen` is the epoch under way, or the last; `history` has one row an
    epoch. `beginning` and `recent` are losses that divergence is told by. `best` is the epoch with
    the highest accuracy on the part to validate on, and that accuracy. `seconds` were spent.
    `warning` says what is wrong with how it ended. `changes` say at which "step" a time limit made
    which step the "end", as `Pace.of` takes them.
    """

    step: int = 0
    seen: Fitted = field(default_factory=Fitted)
    history: list[dict[str, Any]] = field(default_factory=list)
    beginning: float = 0.0
    recent: float = 0.0
    best: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    warning: str = ""
    changes: list[dict[str, int]] = field(default_factory=list)

    def add(self, *, count: int, loss: float, right: int) -> None:
        """Take in one step."""
        self.step += 1
        self.seen = self.seen.add(count=count, loss=loss, right=right)
        if self.step <= _BEGINNING:
            self.beginning = max(self.beginning, loss)
        self.recent = loss if self.step == 1 else _MEMORY * self.recent + (1 - _MEMORY) * loss

    def change(self, pace: Pace, *, end: int) -> Pace:
        """The pace from here on, so that the run is over after step `end`."""
        if end == pace.end:
            return pace
        self.changes.append({"step": self.step, "end": end})
        return pace.ending(end, step=self.step)

    def check(self, *, loss: float, steps: int, chance: float, rate: float) -> None:
        """Raise RecipeError where the loss is not finite, or has grown out of all proportion.

        `chance` is the loss of a network that knows nothing, `rate` the recipe's learning rate.
        """
        limit = DIVERGED * max(self.beginning, chance)
        if math.isfinite(loss) and self.recent <= limit:
            return
        found = f"{loss}"
        if math.isfinite(loss):
            found = f"{self.recent:.4g} over the last steps, and was {self.beginning:.4g} at first,"
        raise RecipeError(
            f"training diverged: the loss is {found} at step {self.step} of {steps}, with a "
            f"learning rate of up to {rate:g}; lower learning_rate, for example to {rate / 10:g}",
            names=["learning_rate"],
        )

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values; `from_json` reads it back, to the bit."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Self:
        """From what `to_json` gave."""
        return cls(**{**fields, "seen": Fitted(**fields["seen"])})


def warning(seen: Fitted, *, chance: float, most_frequent: float, steps: int) -> str:
    """What is wrong with a run of `steps` that ended with a finite loss, "" where nothing is.

    `chance` is as in `Course.check`; `most_frequent` is the share of the most frequent class, which
    a network that always names it gets right.
    """
    if seen.loss <= chance or seen.accuracy > most_frequent:
        return ""
    advice = (
        f"{steps} step{'s' * (steps != 1)} may be too few: train for more epochs, or start from "
        "published weights"
        if steps < FEW_STEPS
        else "the training diverged or did not start: change the learning rate"
    )
    return (
        f"the network has learnt nothing: in the last epoch its loss is {seen.loss:.4g}, no lower "
        f"than the {chance:.4g} of chance, and {seen.accuracy:.1%} of its answers are right, no "
        f"more than always naming the most frequent class gives ({most_frequent:.1%}); "
        f"{advice}"
    )
