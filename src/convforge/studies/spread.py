"""What repeated measurements say: mean, deviation, and whether two differ.

Two sets of measurements are compared by Welch's t: the 95 % interval of the difference of their
means, which takes neither equal deviations nor equal counts for granted.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from typing import Literal

from convforge.errors import PackageError

Verdict = Literal["holds", "does not hold", "undecided"]

CONFIDENCE = 0.95
RULE = (
    "holds where the 95 % interval (Welch's t) of the difference of the means lies on the claimed "
    "side of 0, does not hold where it lies on the other side, undecided where it has 0 in it and "
    "where no two measurements differ"
)


@dataclass(frozen=True)
class Spread:
    """Measurements of one thing, one a seed or a session, in their order; at least one."""

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Their mean."""
        return statistics.fmean(self.values)

    @property
    def deviation(self) -> float:
        """Their standard deviation, with n - 1; 0 of one."""
        return statistics.stdev(self.values) if len(self.values) > 1 else 0.0

    def to_json(self) -> dict[str, object]:
        """As plain JSON values."""
        return {"mean": self.mean, "deviation": self.deviation, "values": list(self.values)}


@dataclass(frozen=True)
class Difference:
    """Of two means, the first less the second: the estimate and its 95 % interval.

    The interval is infinite where one of both was measured once only, and where no two measurements
    of a kind differ: that says nothing of how much they would.
    """

    estimate: float
    low: float
    high: float

    @property
    def verdict_below(self) -> Verdict:
        """Of the claim that the first is below the second."""
        if self.high < 0:
            return "holds"
        return "does not hold" if self.low > 0 else "undecided"

    @property
    def verdict_above(self) -> Verdict:
        """Of the claim that the first is above the second."""
        return Difference(-self.estimate, -self.high, -self.low).verdict_below


def difference(first: Spread, second: Spread) -> Difference:
    """The difference of the means, by Welch's t. Raises PackageError where scipy is missing."""
    estimate = first.mean - second.mean
    if min(len(first.values), len(second.values)) < 2:
        return Difference(estimate, -math.inf, math.inf)
    variances = [one.deviation**2 / len(one.values) for one in (first, second)]
    if not sum(variances):
        return Difference(estimate, -math.inf, math.inf)
    counts = [len(one.values) - 1 for one in (first, second)]
    freedom = sum(variances) ** 2 / sum(v**2 / n for v, n in zip(variances, counts, strict=True))
    half = _quantile(freedom) * math.sqrt(sum(variances))
    return Difference(estimate, estimate - half, estimate + half)


def against(found: Spread, value: float) -> Difference:
    """The difference of a mean from a number that is known, by Student's t."""
    estimate, count = found.mean - value, len(found.values)
    if not found.deviation:
        return Difference(estimate, -math.inf, math.inf)
    half = _quantile(count - 1) * found.deviation / math.sqrt(count)
    return Difference(estimate, estimate - half, estimate + half)


def worst(*verdicts: Verdict) -> Verdict:
    """Of a claim in several parts: it holds where all of them do, and fails where one does."""
    for verdict in ("does not hold", "undecided"):
        if verdict in verdicts:
            return verdict
    return "holds"


def _quantile(freedom: float) -> float:
    """What Student's t stays below with 97.5 %."""
    try:
        from scipy.stats import t  # noqa: PLC0415  (optional, and slow to import)
    except ModuleNotFoundError:
        raise PackageError(
            "study: needs scipy, which is not installed: pip install 'convforge[train]'"
        ) from None
    return float(t.ppf(0.5 + CONFIDENCE / 2, freedom))
