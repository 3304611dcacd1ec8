"""What a network may take: milliseconds on this machine, megabytes on disk."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from convforge.errors import BudgetError

if TYPE_CHECKING:
    from convforge.scaling.latency import Cost

MEGABYTE = 1_000_000
AIM = 0.95  # of the budget is aimed at: another measurement of the same network may be slower
_NAMES = ("max_ms", "max_mb")
_SPARE = 1.1  # times what the smallest network takes is advised


@dataclass(frozen=True, kw_only=True)
class Budget:
    """`max_ms` for one image, after its preprocessing; `max_mb` of 10^6 bytes; None: no limit.

    Raises BudgetError where both are None, or one is not above 0.
    """

    max_ms: float | None = None
    max_mb: float | None = None

    def __post_init__(self) -> None:
        if self.max_ms is None and self.max_mb is None:
            raise BudgetError("scale: no budget; give max_ms, max_mb, or both", names=_NAMES)
        for name, value in (("max_ms", self.max_ms), ("max_mb", self.max_mb)):
            if value is not None and not 0 < value < math.inf:
                raise BudgetError(
                    f"scale: {name} is {value}; expected a number above 0", names=[name]
                )

    def use(self, cost: Cost) -> float:
        """The share of the budget that a network takes: the larger of both; 1 just fits."""
        shares = [0.0]
        if self.max_ms is not None:
            shares.append(cost.ms / self.max_ms)
        if self.max_mb is not None:
            shares.append(cost.file_bytes / MEGABYTE / self.max_mb)
        return max(shares)

    def check_smallest(self, cost: Cost, *, network: str) -> None:
        """Raise BudgetError where not even the smallest network fits, naming what would be met."""
        advice = self._advice(cost)
        if not advice:
            return
        raise BudgetError(
            f"scale: the smallest {network} that is tried takes {cost.ms:.3g} ms and "
            f"{cost.file_bytes / MEGABYTE:.3g} MB on this machine, over the budget of "
            f"{self.text()}; give at least {' and '.join(advice)}, or take another network",
            names=_NAMES,
        )

    def text(self) -> str:
        """The budget in words, as "2 ms and 4 MB"."""
        said = [] if self.max_ms is None else [f"{self.max_ms:g} ms"]
        return " and ".join(said + ([] if self.max_mb is None else [f"{self.max_mb:g} MB"]))

    def _advice(self, cost: Cost) -> list[str]:
        advice = []
        if self.max_ms is not None and cost.ms > AIM * self.max_ms:
            advice.append(f"max_ms {rounded_up(_SPARE * cost.ms)}")
        megabytes = cost.file_bytes / MEGABYTE
        if self.max_mb is not None and megabytes > AIM * self.max_mb:
            advice.append(f"max_mb {rounded_up(_SPARE * megabytes)}")
        return advice


def rounded_up(value: float) -> str:
    """To two digits, never down: 0.412 is "0.42", 12.1 is "13"."""
    unit = 10.0 ** (math.floor(math.log10(value)) - 1)
    return f"{math.ceil(round(value / unit, 6)) * unit:.2g}"
