"""Mixes: roads through depth, width and resolution, along which a network grows with one number.

    NAME                    grows with phi, each step doubles multiply-adds
    compound                all three, in the proportions of the compound rule
    width                   width alone, at the paper's depth and resolution
    resolution, depth       likewise
    width and resolution    both, half each
    half of compound        the compound rule, for half the budget; likewise a quarter, an eighth
    d0.5 r0.7               width alone, at 0.5 times the depth and 0.7 times the resolution

A mix has one candidate for a budget: the network furthest along the road that is within.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from convforge.analysis.scaling import SIDE_STEP, Factors, Rule, rule_of, scaled_arguments
from convforge.errors import InputError, NetworkError
from convforge.networks.catalog import create

if TYPE_CHECKING:
    from collections.abc import Sequence

# The region that is searched. Below a quarter of the width, maps are rounded up to 8 in most layers
# and nothing gets faster any more.
SMALLEST = Factors(depth=0.25, width=0.25, resolution=0.25)
LARGEST = Factors(depth=3.0, width=3.0, resolution=2.0)

_PARTS = {"half of compound": 1 / 2, "quarter of compound": 1 / 4, "eighth of compound": 1 / 8}
MIXES = ("compound", "width", "resolution", "depth", "width and resolution", *_PARTS)

_WIDER = rule_of(depth=0, width=1, resolution=0)


@dataclass(frozen=True, kw_only=True)
class Mix:
    """A road: from `start` on by `rule`; its candidate may take `share` of the budget."""

    name: str
    rule: Rule
    start: Factors = field(default_factory=Factors)
    share: float = 1.0

    def at(self, phi: float) -> Factors:
        """The factors at `phi`."""
        grown = self.rule.at(phi)
        return Factors(
            depth=self.start.depth * grown.depth,
            width=self.start.width * grown.width,
            resolution=self.start.resolution * grown.resolution,
        )

    def bounds(self, smallest: Factors) -> tuple[float, float]:
        """The phi at which the first dimension meets `smallest`, and LARGEST."""
        lows, highs = [], []
        for name, rate in (
            ("depth", self.rule.alpha),
            ("width", self.rule.beta),
            ("resolution", self.rule.gamma),
        ):
            if rate > 1:
                start = getattr(self.start, name)
                lows.append(math.log(getattr(smallest, name) / start, rate))
                highs.append(math.log(getattr(LARGEST, name) / start, rate))
        return max(lows), min(highs)


def named_mixes(names: Sequence[str] = MIXES, *, rule: Rule) -> list[Mix]:
    """The mixes of these names, `rule` being the compound one. Raises InputError for another."""
    compound = rule.normalized()
    table = {
        "compound": Mix(name="compound", rule=compound),
        "width": Mix(name="width", rule=_WIDER),
        "resolution": Mix(name="resolution", rule=rule_of(depth=0, width=0, resolution=1)),
        "depth": Mix(name="depth", rule=rule_of(depth=1, width=0, resolution=0)),
        "width and resolution": Mix(
            name="width and resolution", rule=rule_of(depth=0, width=1, resolution=1)
        ),
        **{name: Mix(name=name, rule=compound, share=part) for name, part in _PARTS.items()},
    }
    unknown = [name for name in names if name not in table]
    if unknown or not names:
        found = f"no mix is named {unknown[0]!r}" if unknown else "no mix is named"
        raise InputError(f"scale: {found}; there are {', '.join(table)}")
    return [table[name] for name in dict.fromkeys(names)]


def mix_at(*, depth: float, resolution: float) -> Mix:
    """The mix whose depth and resolution are these factors, and whose width takes what is left."""
    return Mix(
        name=f"d{depth:.2f} r{resolution:.2f}",
        rule=_WIDER,
        start=Factors(depth=depth, resolution=resolution),
    )


def smallest_factors(network: str, *, input_size: int | None = None) -> Factors:
    """SMALLEST, but of the smallest input that the network takes where that is larger.

    Raises NetworkError where it cannot be scaled, or takes no input of up to its own size.
    """
    base = scaled_arguments(network, Factors(), input_size=input_size)["input_size"]
    low = scaled_arguments(network, SMALLEST, input_size=input_size)
    for side in range(low["input_size"], base + 1, SIDE_STEP):
        try:
            with torch.device("meta"):
                create(network, **{**low, "input_size": side})
        except NetworkError:
            continue
        return Factors(depth=SMALLEST.depth, width=SMALLEST.width, resolution=side / base)
    with torch.device("meta"):
        create(network, **{**low, "input_size": base})  # says what is wrong with it
    return Factors(depth=SMALLEST.depth, width=SMALLEST.width)
