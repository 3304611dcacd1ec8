"""Candidates: of every mix the network that makes the most of the budget."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from convforge.analysis.scaling import Factors, largest_phi, scaled_arguments
from convforge.scaling.budget import AIM, MEGABYTE, Budget
from convforge.scaling.estimate import Estimate, Size, size_of
from convforge.scaling.latency import Cost

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from convforge.scaling.space import Mix

CLOSE = 0.88  # of what is aimed at: a candidate that takes as much is not made larger
TRIES = 3  # networks of a mix that are compiled, at most, once one of them fits
MOST_TRIES = 6  # where none does


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A network of a mix and what it takes; `arguments` are width, depth and input_size.

    `depth` and `resolution` are its factors, next to the paper's; `signature` is equal for one and
    the same network. `reason` says why it does not compete, "" for one that does.
    """

    name: str
    arguments: dict[str, Any]
    cost: Cost
    depth: float
    resolution: float
    signature: str
    reason: str = ""

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values; `from_json` reads it back."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Self:
        """From what `to_json` gave."""
        return cls(**{**fields, "cost": Cost(**fields["cost"])})


@dataclass(frozen=True, kw_only=True)
class Fitter:
    """Makes candidates of a network within a budget.

    `fields` are num_classes and in_channels; `measure` gives the cost of a network's arguments.
    """

    network: str
    fields: Mapping[str, int]
    input_size: int | None
    budget: Budget
    smallest: Factors
    measure: Callable[[Mapping[str, Any]], Cost]
    estimate: Estimate = field(default_factory=Estimate)

    def candidate(self, mix: Mix) -> Candidate:
        """The largest network of a mix that is within the budget, or its smallest and why not.

        `check` must have been called before.
        """
        low, high = mix.bounds(self.smallest)
        aim = AIM * mix.share
        measured: dict[float, float] = {}
        while len(measured) < MOST_TRIES:
            within = [phi for phi, use in measured.items() if use <= aim]
            beyond = [phi for phi, use in measured.items() if use > aim]
            if len(measured) >= TRIES and within:
                break
            phi = self._next(
                mix, aim=aim, low=max(within, default=low), high=min(beyond, default=high)
            )
            if phi in measured:
                break
            measured[phi] = self._use(mix.at(phi))
            if CLOSE * aim <= measured[phi] <= aim:
                break
        within = [phi for phi, use in measured.items() if use <= aim]
        if not within and self._use(mix.at(low)) <= aim:
            within = [low]
        return self._made(mix, max(within, default=low), fits=bool(within))

    def check(self) -> None:
        """Raise BudgetError where the smallest network is over the budget."""
        self._use(self.smallest)
        cost = self.estimate.cost(self._size(self.smallest))
        self.budget.check_smallest(cost, network=self.network)

    def _next(self, mix: Mix, *, aim: float, low: float, high: float) -> float:
        """Which phi to measure next: the largest that is expected to fit."""
        phi = largest_phi(
            mix.at, self._expected_use, budget=aim, low=low, high=high, close=0.95, most=6
        )
        return low if phi is None else phi

    def _made(self, mix: Mix, phi: float, *, fits: bool) -> Candidate:
        factors = mix.at(phi)
        size = self._size(factors)
        cost = self.estimate.cost(size)
        reason = (
            ""
            if fits
            else (
                f"over the budget: its smallest takes {cost.ms:.3g} ms and "
                f"{cost.file_bytes / MEGABYTE:.3g} MB"
            )
        )
        return Candidate(
            name=mix.name,
            arguments=self._arguments(factors),
            cost=cost,
            depth=factors.depth,
            resolution=factors.resolution,
            signature=size.signature,
            reason=reason,
        )

    def _arguments(self, factors: Factors) -> dict[str, Any]:
        return scaled_arguments(self.network, factors, input_size=self.input_size)

    def _size(self, factors: Factors) -> Size:
        return size_of(self.network, {**self.fields, **self._arguments(factors)})

    def _expected_use(self, factors: Factors) -> float:
        return self.budget.use(self.estimate.cost(self._size(factors)))

    def _use(self, factors: Factors) -> float:
        """Share of the budget, measured where it was not yet."""
        size = self._size(factors)
        if self.estimate.measured(size) is None:
            self.estimate.add(size, self.measure({**self.fields, **self._arguments(factors)}))
        return self.budget.use(self.estimate.cost(size))


def without_twins(candidates: Sequence[Candidate]) -> list[Candidate]:
    """The same, but of several that are one and the same network the first one alone competes."""
    seen: dict[str, str] = {}
    found = []
    for one in candidates:
        twin = one.name if one.reason else seen.setdefault(one.signature, one.name)
        same = twin == one.name
        found.append(
            one if same else dataclasses.replace(one, reason=f"the same network as {twin}")
        )
    return found
