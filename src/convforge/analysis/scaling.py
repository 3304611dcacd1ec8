"""The compound rule: depth, width and resolution of a network grow together, by one coefficient.

Tan and Le 2019, "EfficientNet: Rethinking model scaling for convolutional neural networks"
(arXiv:1905.11946), equations 2 and 3. At the coefficient phi, which may be below 0,

    depth = alpha^phi    width = beta^phi    resolution = gamma^phi    alpha * beta² * gamma² ≈ 2

so that multiply-adds grow as 2^phi. The paper's 1.2, 1.1 and 1.15 were found for EfficientNet-B0;
any network of the catalogue with the arguments `width` and `depth` can be scaled by them, or by
others: a `Rule` that grows one dimension alone is one too. What a network takes of time is handed
in as a function; nothing here measures it.
"""

from __future__ import annotations

import importlib
import inspect
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from convforge.errors import NetworkError
from convforge.networks.catalog import CATALOG, entry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Measure = Callable[["Factors"], float]

Item = TypeVar("Item")

GROWTH = 2.0  # of multiply-adds, from one coefficient to the next
SIDE_STEP = 8  # pixels; sides of scaled inputs are multiples of it, as `small_images` needs
SMALLEST_SIDE = 8  # pixels


@dataclass(frozen=True, kw_only=True)
class Factors:
    """How many times as deep, as wide, and of what side of the input, next to the paper's own."""

    depth: float = 1.0
    width: float = 1.0
    resolution: float = 1.0

    @property
    def macs(self) -> float:
        """How many times as many multiply-adds, before anything is rounded (equation 2)."""
        return self.depth * self.width**2 * self.resolution**2

    def clipped(self, low: Factors, high: Factors) -> Factors:
        """Each factor within those of `low` and `high`."""
        return Factors(
            depth=min(max(self.depth, low.depth), high.depth),
            width=min(max(self.width, low.width), high.width),
            resolution=min(max(self.resolution, low.resolution), high.resolution),
        )


@dataclass(frozen=True, kw_only=True)
class Rule:
    """Equation 3: `alpha` is depth's, `beta` width's, `gamma` resolution's factor at phi 1.

    Raises NetworkError where one of them is below 1, or none is above it.
    """

    alpha: float = 1.2
    beta: float = 1.1
    gamma: float = 1.15

    def __post_init__(self) -> None:
        values = {"alpha": self.alpha, "beta": self.beta, "gamma": self.gamma}
        for name, value in values.items():
            if not 1 <= value < math.inf:
                raise NetworkError(
                    f"compound rule: {name} is {value}; expected 1 (that dimension stays as it is) "
                    "or more, such as the paper's 1.2, 1.1 and 1.15"
                )
        if self.growth == 1:
            raise NetworkError(
                "compound rule: alpha, beta and gamma are all 1, which scales nothing; give at "
                "least one of them above 1, such as the paper's 1.2, 1.1 and 1.15"
            )

    @property
    def growth(self) -> float:
        """How multiply-adds grow, alpha * beta² * gamma², from phi to phi + 1."""
        return self.alpha * self.beta**2 * self.gamma**2

    def at(self, phi: float) -> Factors:
        """The factors at `phi`; 1, 1, 1 at 0."""
        return Factors(depth=self.alpha**phi, width=self.beta**phi, resolution=self.gamma**phi)

    def normalized(self) -> Rule:
        """The same direction with a growth of exactly 2, so that phi counts doublings."""
        power = math.log(GROWTH) / math.log(self.growth)
        return Rule(alpha=self.alpha**power, beta=self.beta**power, gamma=self.gamma**power)


def rule_of(*, depth: float, width: float, resolution: float) -> Rule:
    """The rule that gives each dimension this share of the doubling of multiply-adds.

    Shares are at least 0 and need not sum to 1; `rule_of(depth=0, width=1, resolution=0)` widens
    alone, by the square root of 2. Raises NetworkError where one is below 0 or all are 0.
    """
    total = depth + width + resolution
    if min(depth, width, resolution) < 0 or not 0 < total < math.inf:
        raise NetworkError(
            f"compound rule: shares of {depth}, {width} and {resolution}; expected numbers of at "
            "least 0, one of them above it"
        )
    return Rule(
        alpha=GROWTH ** (depth / total),
        beta=GROWTH ** (width / total / 2),
        gamma=GROWTH ** (resolution / total / 2),
    )


def scalable() -> tuple[str, ...]:
    """Names of the networks that have the arguments `width` and `depth`. Imports torch."""
    return tuple(name for name in CATALOG if _defaults(name) is not None)


def scaled_arguments(
    network: str, factors: Factors, *, input_size: int | None = None
) -> dict[str, Any]:
    """Arguments of `networks.create` for a network of the catalogue, scaled: a new dictionary.

    "width" and "depth" are the network's own times the factors, "input_size" is `input_size`, by
    default the catalogue's, times the resolution, rounded to SIDE_STEP pixels. Raises NetworkError
    for a network that has no such arguments, naming those that have.
    """
    base = entry(network).input_size if input_size is None else input_size
    own = _defaults(network)
    if own is None:
        families = dict.fromkeys(CATALOG[name].module for name in scalable())
        raise NetworkError(
            f"{network}: cannot be scaled, for it has no width and depth to multiply; networks "
            f"that have are those of {', '.join(families)}"
        )
    side = round(base * factors.resolution / SIDE_STEP) * SIDE_STEP
    return {
        "width": round(own[0] * factors.width, 4),
        "depth": round(own[1] * factors.depth, 4),
        "input_size": base if factors.resolution == 1 else max(side, SMALLEST_SIDE),
    }


def largest_phi(
    rule: Rule,
    measure: Measure,
    *,
    budget: float,
    low: float,
    high: float,
    tolerance: float = 0.02,
) -> float | None:
    """The largest phi from `low` to `high` at which `measure` stays within `budget`, by bisection.

    `measure` gives what a network of these factors costs, such as milliseconds; it must not fall
    as phi grows. None where not even `low` stays within it. The result is at most `tolerance`
    below the true one, and always one that was measured.
    """
    if measure(rule.at(low)) > budget:
        return None
    if measure(rule.at(high)) <= budget:
        return high
    while high - low > tolerance:
        middle = (low + high) / 2
        if measure(rule.at(middle)) <= budget:
            low = middle
        else:
            high = middle
    return low


def pareto_front(
    items: Iterable[Item], *, cost: Callable[[Item], float], gain: Callable[[Item], float]
) -> list[Item]:
    """Those that no other one beats: each costs less, or gains more, than any other; by cost.

    Of several with the same cost and gain the first is kept.
    """
    front: list[Item] = []
    for item in sorted(items, key=lambda one: (cost(one), -gain(one))):
        if not front or gain(item) > gain(front[-1]):
            front.append(item)
    return front


def _defaults(network: str) -> tuple[float, float] | None:
    """A network's own width and depth; None where it has no such arguments."""
    found = entry(network)
    builder = getattr(importlib.import_module(f"convforge.networks.{found.module}"), network)
    parameters = inspect.signature(builder).parameters
    if not {"width", "depth"} <= set(parameters):
        return None
    return float(parameters["width"].default), float(parameters["depth"].default)
