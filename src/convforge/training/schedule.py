"""The shape of the learning rate over a run: a factor of its peak, from the share of steps done.

    linear        up in a straight line until `warmup`, then down to 0 in another
    cosine        up in a straight line, down to 0 in half a cosine (Loshchilov and Hutter 2017)
    onecycle      up from 1/25 and down to 1/250,000, each in half a cosine (Smith and Topin 2018;
                  as in torch's OneCycleLR)
    step          up in a straight line, then 1; 1/10 from half of the run on, 1/100 from three
                  quarters on (He et al. 2016, section 4.2)
    exponential   up in a straight line, then down to 1/100, by the same factor every step

Nothing here knows torch: a rate can be drawn before a run.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_ONECYCLE_START = 1 / 25
_ONECYCLE_END = _ONECYCLE_START / 1e4
_EXPONENTIAL_END = 1e-2


def factor(name: str, done: float, *, warmup: float) -> float:
    """Share of the peak rate where the share `done` of all steps is over; 0 ≤ done ≤ 1.

    `warmup` is the share of the steps until the peak.
    """
    rising = done / warmup if warmup > 0 else 1.0
    if rising < 1 or warmup == 1:
        return _half_cosine(_ONECYCLE_START, 1.0, rising) if name == "onecycle" else min(rising, 1)
    return _FALLING[name](done, (done - warmup) / (1 - warmup))


def _half_cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2


# From the share of the whole run and the share of the run after the warm-up.
_FALLING: dict[str, Callable[[float, float], float]] = {
    "linear": lambda _, share: 1 - share,
    "cosine": lambda _, share: _half_cosine(1, 0, share),
    "onecycle": lambda _, share: _half_cosine(1, _ONECYCLE_END, share),
    "step": lambda done, _: 1.0 if done < 0.5 else 0.1 if done < 0.75 else 0.01,
    "exponential": lambda _, share: _EXPONENTIAL_END**share,
}
SCHEDULES = tuple(_FALLING)
