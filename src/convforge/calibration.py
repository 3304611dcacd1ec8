"""Whether probabilities mean what they say: expected calibration error, and one temperature.

Guo, Pleiss, Sun, Weinberger 2017, On calibration of modern neural networks, ICML: equations 2 and 3
for the error, section 4.2 for temperature scaling. Numpy only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from convforge.errors import InputError
from convforge.prediction import softmax

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

BINS = 15  # the paper's
COOLEST, HOTTEST = 1e-2, 1e3  # temperatures that are looked at

_GOLDEN = (math.sqrt(5) - 1) / 2
_CLOSE = 1e-6  # of the logarithm of the temperature


@dataclass(frozen=True, kw_only=True)
class Bin:
    """Answers with a probability in (low, high]; means over its `count`, None where that is 0."""

    low: float
    high: float
    count: int
    confidence: float | None
    accuracy: float | None


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """`ece`: the mean over all answers of their bin's |accuracy - confidence|; 0 is best, 1 worst.

    `nll` is the mean negative log-likelihood of the right classes, in nats.
    """

    ece: float
    nll: float
    bins: tuple[Bin, ...]


@dataclass(frozen=True, kw_only=True)
class Temperature:
    """Logits over `value` have the highest likelihood; how calibrated they are without and with it.

    `bounded` says that there is no such value between COOLEST and HOTTEST, as where every answer is
    right and certainty is never too much; `value` is then the better of the two.
    """

    value: float
    bounded: bool
    before: Calibration
    after: Calibration


def calibrate(
    logits: NDArray[np.float32],
    labels: NDArray[np.int64],
    *,
    temperature: float = 1.0,
    bins: int = BINS,
) -> Calibration:
    """How calibrated the probabilities softmax(logits / temperature) are, N images, K classes.

    `logits` float32 [N, K], `labels` int64 [N]. Of equal logits the lower index is the answer.
    Raises InputError where there are no images, shapes do not fit, or a logit is not finite.
    """
    _check(logits, labels)
    probabilities = softmax(logits / np.float32(temperature)).astype(np.float64)
    confidence = probabilities.max(axis=1)
    right = logits.argmax(axis=1) == labels
    place = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    filled = tuple(
        _bin(index, bins, confidence[place == index], right[place == index])
        for index in range(bins)
    )
    gap = sum(
        one.count * abs(one.accuracy - one.confidence)
        for one in filled
        if one.accuracy is not None and one.confidence is not None
    )
    nll = _likelihood(logits, labels)(temperature)
    return Calibration(ece=gap / len(labels), nll=nll, bins=filled)


def fit_temperature(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> Temperature:
    """The temperature of the highest likelihood, by golden section over its logarithm.

    The likelihood is convex in 1 / temperature, so there is one minimum. Takes and raises what
    `calibrate` does.
    """
    _check(logits, labels)
    nll = _likelihood(logits, labels)
    low, high = math.log(COOLEST), math.log(HOTTEST)
    found = math.exp(_minimum(lambda log: nll(math.exp(log)), low, high))
    ends = [end for end in (COOLEST, HOTTEST) if nll(end) <= nll(found)]
    value = min(ends, key=nll) if ends else found
    return Temperature(
        value=value,
        bounded=bool(ends),
        before=calibrate(logits, labels),
        after=calibrate(logits, labels, temperature=value),
    )


def cross_entropy(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """Mean of -log softmax(logits)[label], in nats. Takes and raises what `calibrate` does."""
    _check(logits, labels)
    return _likelihood(logits, labels)(1.0)


def _check(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> None:
    if logits.ndim != 2 or logits.shape[:1] != labels.shape or logits.size == 0:
        raise InputError(
            f"calibration: expected logits [N, K] and labels [N] of at least one image, got "
            f"{list(logits.shape)} and {list(labels.shape)}"
        )
    if not 0 <= labels.min() <= labels.max() < logits.shape[1]:
        raise InputError(
            f"calibration: labels go from {labels.min()} to {labels.max()}, there are "
            f"{logits.shape[1]} classes; give labels that index them"
        )
    if not np.isfinite(logits).all():
        raise InputError("calibration: a logit is not finite; the training diverged: train again")


def _bin(index: int, bins: int, confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> Bin:
    count = len(confidence)
    return Bin(
        low=index / bins,
        high=(index + 1) / bins,
        count=count,
        confidence=float(confidence.mean()) if count else None,
        accuracy=float(right.mean()) if count else None,
    )


def _likelihood(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> Callable[[float], float]:
    """Mean of -log softmax(z / t)[y] as a function of t: log Σ exp((z - z_y) / t)."""
    margins = logits.astype(np.float64)
    margins -= margins[np.arange(len(labels)), labels][:, None]
    largest = margins.max(axis=1)
    margins -= largest[:, None]

    def nll(temperature: float) -> float:
        rest = np.log(np.exp(margins / temperature).sum(axis=1))
        return float((largest / temperature + rest).mean())

    return nll


def _minimum(function: Callable[[float], float], low: float, high: float) -> float:
    """Where a function with one minimum has it, within _CLOSE (Kiefer 1953)."""
    left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    at_left, at_right = function(left), function(right)
    while high - low > _CLOSE:
        if at_left <= at_right:
            high, right, at_right = right, left, at_left
            left = high - _GOLDEN * (high - low)
            at_left = function(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + _GOLDEN * (high - low)
            at_right = function(right)
    return (low + high) / 2
