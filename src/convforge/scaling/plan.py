"""How long candidates are trained to be compared: rungs of a successive halving.

Jamieson and Talwalkar 2016, "Non-stochastic best arm identification and hyperparameter
optimization"; Li et al. 2018, "Hyperband". All candidates are trained on the first rung, the best
third of them on the next, three times as long. Every rung trains from scratch, with the learning
rate's whole course, for a rate that has not fallen yet says little about the end.

Under a time limit, what is equal on a rung is the arithmetic, as the winner's training is limited
by time too: a network of half the multiply-adds sees every image twice as often. Without a limit,
epochs are equal.

A rung of a few steps compares nothing but luck, and what it takes is lost to the winner's training.
Where FEWEST_STEPS of two candidates would cost more than the share WORTH of that there is no rung,
and the `ideal` decides: the largest network for whose training over all of the recipe's epochs
there is time (measured: docs/scaling.md).
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from convforge.errors import TimeLimitError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

KEEP = 3  # one of so many goes on to the next rung, which is as many times as long
SHARE = 0.35  # of a time limit is for the search, reading and compiling included
PROPOSALS = 3  # mixes that are tried beyond those with names
FEWEST_STEPS = 100  # of a first rung's training, below which it says nothing
WORTH = 0.1  # of the winner's time, that a first rung of so many steps may cost
EPOCHS = 5  # of a first rung: of a part of the images, where all would take too long
FEWEST_IMAGES = 256
TRIAL_S = 2.0  # a trial takes beside its steps: reading, measuring
_MOST = 4  # times the epochs of the largest candidate
_LEAST_POWER = 0.3  # below it, what was timed was disturbed


@dataclass(frozen=True, kw_only=True)
class Rung:
    """`images` to train on, and how often the largest candidate sees them."""

    images: int
    epochs: int


@dataclass(frozen=True, kw_only=True)
class Speed:
    """Seconds in which a network learns from one image: `seconds` for one of `macs`.

    For others they grow with the power `exponent` of multiply-adds: small ones do less of them a
    second.
    """

    macs: int
    seconds: float
    exponent: float = 1.0

    def through(self, macs: int, seconds: float) -> Self:
        """With the exponent that another network's time gives."""
        found = math.log(seconds / self.seconds) / math.log(macs / self.macs)
        return dataclasses.replace(self, exponent=min(max(found, _LEAST_POWER), 1.0))

    def a_pass(self, macs: int) -> float:
        """Seconds of a network of so many multiply-adds."""
        return float(self.seconds * (macs / self.macs) ** self.exponent)

    def macs_in(self, seconds: float) -> int:
        """Multiply-adds of the network that takes so long."""
        times = float((seconds / self.seconds) ** (1 / self.exponent))
        return max(1, round(self.macs * times))


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The rungs, how many `candidates` begin, of them how many `proposals`.

    Candidates nearest to `ideal` multiply-adds come first; 0 leaves them in their order. `macs` are
    the multiply-adds of the largest that begins where arithmetic is to be equal, else 0; `a_pass`
    are the seconds in which it learns from one image.
    """

    rungs: tuple[Rung, ...]
    candidates: int
    proposals: int
    macs: int = 0
    a_pass: float = 0.0
    ideal: int = 0

    def distance(self, macs: int) -> float:
        """How many times a candidate's multiply-adds are twice or half of the ideal."""
        return _distance(macs, self.ideal) if self.ideal else 0.0

    def epochs(self, rung: int, *, macs: int) -> int:
        """Epochs on a rung of a candidate with so many multiply-adds."""
        epochs = self.rungs[rung].epochs
        if not self.macs:
            return epochs
        return max(1, min(round(epochs * self.macs / macs), _MOST * epochs))

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values; `from_json` reads it back."""
        rungs = [dataclasses.asdict(rung) for rung in self.rungs]
        return {**dataclasses.asdict(self), "rungs": rungs}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Self:
        """From what `to_json` gave."""
        return cls(**{**fields, "rungs": tuple(Rung(**rung) for rung in fields["rungs"])})


def plan_by_epochs(
    epochs: int, *, images: int, batch_size: int, named: int, proposals: int
) -> Plan:
    """Without a time limit: rungs of a ninth and a third of the winner's `epochs`.

    They are longer where that is less than FEWEST_STEPS; all of the epochs at most, and one rung
    then.
    """
    least = math.ceil(FEWEST_STEPS * min(batch_size, images) / images)
    first = min(epochs, max(1, epochs // KEEP**2, least))
    second = min(epochs, max(epochs // KEEP, KEEP * first))
    rungs = tuple(Rung(images=images, epochs=count) for count in sorted({first, second}))
    return _single(named) or Plan(rungs=rungs, candidates=named + proposals, proposals=proposals)


def plan_by_time(
    *,
    limit: float,
    spent: float,
    reserve: float,
    speed: Speed,
    macs: Sequence[int],
    images: int,
    usable: int,
    epochs: int,
    batch_size: int,
    proposals: int,
) -> Plan:
    """Within `limit` seconds, `spent` of them gone: as long rungs as SHARE of it has room for.

    `reserve` are the seconds that the winner takes beside its training, for its compilation first.
    The winner is trained on `images`, candidates, of `macs`, on `usable` of them at most; the
    recipe has `epochs` in batches of `batch_size`. There are fewer candidates where there is no
    time to compare all, the nearest to the ideal, and one without rungs where there is none to
    compare two. Raises TimeLimitError where the rest of the time is not enough for one epoch of the
    smallest.
    """
    an_epoch = speed.a_pass(min(macs)) * images
    rest = limit - reserve - max(spent, SHARE * limit)
    if an_epoch > 0.9 * rest:
        raise TimeLimitError(
            f"max_train: one epoch takes about {an_epoch:.0f} s here, and of {limit:.0f} s in all "
            f"{max(rest, 0):.0f} s are left for the winner's training; give at least "
            f"{math.ceil((spent + reserve + 3 * an_epoch) / (1 - SHARE) / 60)}m, a faster budget, "
            "or fewer images",
            names=["max_train"],
        )
    if found := _single(len(macs)):
        return found
    ideal = min(speed.macs_in(rest / (images * epochs)), max(macs))
    nearest = sorted(macs, key=lambda one: _distance(one, ideal))
    fewest = FEWEST_STEPS * min(batch_size, usable)
    for begin in range(len(macs) + proposals, 1, -1):
        largest = max(nearest[:begin])
        a_pass = speed.a_pass(largest)
        passes = _passes(begin, SHARE * limit - spent, a_pass=a_pass)
        if passes >= fewest and begin * fewest * a_pass <= WORTH * rest:
            return Plan(
                rungs=_rungs(passes, images=usable)[: 2 if _again(begin) else 1],
                candidates=begin,
                proposals=max(0, begin - len(macs)),
                macs=largest,
                a_pass=a_pass,
                ideal=ideal,
            )
    # All of the time is for the one that is chosen.
    ideal = min(speed.macs_in((limit - spent - reserve) / (images * epochs)), max(macs))
    return Plan(rungs=(), candidates=1, proposals=0, ideal=ideal)


def _passes(begin: int, seconds: float, *, a_pass: float) -> float:
    """How many images each of so many candidates can learn from on the first rung."""
    second = _again(begin)
    free = seconds - TRIAL_S * (begin + second)
    return free / a_pass / (begin + KEEP * second)


def _again(begin: int) -> int:
    """How many of so many go on to a second rung: one alone needs none."""
    second = math.ceil(begin / KEEP)
    return second if second > 1 else 0


def _distance(macs: int, ideal: int) -> float:
    """How many times multiply-adds are twice or half of the ideal."""
    return abs(math.log2(macs / ideal))


def _single(named: int) -> Plan | None:
    return Plan(rungs=(), candidates=1, proposals=0) if named == 1 else None


def _rungs(passes: float, *, images: int) -> tuple[Rung, ...]:
    first = min(images, max(FEWEST_IMAGES, round(passes / EPOCHS)))
    return tuple(
        Rung(images=count, epochs=max(1, round(times * passes / count)))
        for times, count in ((1, first), (KEEP, min(images, KEEP * first)))
    )
