"""The search: named mixes first, then mixes that Optuna proposes, then the best third once more.

Optuna's sampler (TPE, by seed) proposes depth and resolution from the accuracy of the mixes before;
width is what the budget leaves. Halving waits until a whole rung is known: Optuna's own pruner,
which is for many trials at a time, lets whoever comes first go on.
"""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from convforge.errors import PackageError
from convforge.scaling.plan import KEEP
from convforge.scaling.space import LARGEST, mix_at

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from convforge.analysis.scaling import Factors
    from convforge.scaling.candidates import Candidate
    from convforge.scaling.plan import Plan
    from convforge.scaling.space import Mix

    Score = Callable[[Candidate, int], float | None]

_MOST_RESOLUTION = 1.25  # times the paper's is proposed


@dataclass(kw_only=True)
class Standing:
    """A candidate and its accuracy on each rung that it was trained on.

    It `tells` something unless all on its rung are no better than guesses.
    """

    candidate: Candidate
    scores: list[float] = field(default_factory=list)
    tells: bool = True

    @property
    def rank(self) -> tuple[int, float, float]:
        """Larger is better: rungs, accuracy on the last, and of equals the faster one."""
        if not self.scores or not self.tells:
            return 0, 0.0, 0.0
        return len(self.scores), self.scores[-1], -self.candidate.cost.ms


def search(
    candidates: Sequence[Candidate],
    *,
    plan: Plan,
    score: Score,
    fit: Callable[[Mix], Candidate | None],
    smallest: Factors,
    seed: int,
    chance: float = 0.0,
) -> list[Standing]:
    """Every candidate with what became of it, the best one first.

    Candidates are given the likeliest first, which they stay where training them tells nothing: no
    accuracy is above `chance`.

    `score` gives the accuracy of a candidate on a rung, `fit` makes the candidate of a mix; both
    give None where there is no time left for it. Raises PackageError without optuna.
    """
    standings = [Standing(candidate=one) for one in candidates]
    able = [one for one in standings if not one.candidate.reason][: plan.candidates]
    if len(able) > 1 and plan.rungs and _run(able, 0, score=score) and _tell(able, chance):
        found = _propose(able, plan=plan, score=score, fit=fit, smallest=smallest, seed=seed)
        standings += found
        able += [one for one in found if not one.candidate.reason]
        for rung in range(1, len(plan.rungs)):
            able.sort(key=lambda one: one.rank, reverse=True)
            able = able[: math.ceil(len(able) / KEEP)]
            if len(able) < 2 or not _run(able, rung, score=score):
                break
    standings.sort(key=lambda one: (not one.candidate.reason, one.rank), reverse=True)
    return standings


def _tell(standings: Sequence[Standing], chance: float) -> bool:
    """Whether their accuracy says anything, which is noted in each."""
    tells = any(one.scores[-1] > chance for one in standings)
    for one in standings:
        one.tells = tells
    return tells


def _run(standings: Sequence[Standing], rung: int, *, score: Score) -> bool:
    """Train all on a rung; False where the time was over before."""
    for one in standings:
        found = score(one.candidate, rung)
        if found is None:
            return False
        one.scores.append(found)
    return True


def _propose(
    able: Sequence[Standing],
    *,
    plan: Plan,
    score: Score,
    fit: Callable[[Mix], Candidate | None],
    smallest: Factors,
    seed: int,
) -> list[Standing]:
    """Candidates that the sampler proposes, trained on the first rung."""
    found: list[Standing] = []
    if not plan.proposals:
        return found
    known = {one.candidate.signature for one in able}
    with _study(able, smallest=smallest, seed=seed) as (study, space):
        for _ in range(plan.proposals):
            trial = study.ask(space)
            mix = mix_at(
                depth=2 ** trial.params["depth"], resolution=2 ** trial.params["resolution"]
            )
            candidate = fit(mix)
            if candidate is None:
                break
            standing = Standing(candidate=candidate)
            if candidate.signature in known:
                study.tell(trial, 0.0)
                continue
            known.add(candidate.signature)
            found.append(standing)
            if candidate.reason:
                study.tell(trial, 0.0)
                continue
            accuracy = score(candidate, 0)
            if accuracy is None:
                break
            standing.scores.append(accuracy)
            study.tell(trial, accuracy)
    return found


@contextlib.contextmanager
def _study(
    able: Sequence[Standing], *, smallest: Factors, seed: int
) -> Iterator[tuple[Any, dict[str, Any]]]:
    """A study that knows the named mixes, and the space that it proposes from: powers of 2."""
    try:
        import optuna  # noqa: PLC0415  (optional, and slow to import)
    except ImportError:
        raise PackageError(
            "scale: needs optuna, which is not installed; install it with "
            '`pip install "convforge[scale]"`'
        ) from None
    uniform = optuna.distributions.FloatDistribution
    highest = min(_MOST_RESOLUTION, LARGEST.resolution)
    space: dict[str, Any] = {
        "depth": uniform(math.log2(smallest.depth), math.log2(LARGEST.depth)),
        "resolution": uniform(math.log2(smallest.resolution), math.log2(highest)),
    }
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=len(able))
        study = optuna.create_study(direction="maximize", sampler=sampler)
        for one in able:
            place = {"depth": one.candidate.depth, "resolution": one.candidate.resolution}
            params = {
                name: min(max(math.log2(place[name]), axis.low), axis.high)
                for name, axis in space.items()
            }
            study.add_trial(
                optuna.trial.create_trial(params=params, distributions=space, value=one.scores[0])
            )
        yield study, space
    finally:
        optuna.logging.set_verbosity(before)
