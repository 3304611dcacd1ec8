"""Whether a map explains the network: it has to change when the weights do.

Source: Adebayo et al. 2018, "Sanity checks for saliency maps", section 3, the model parameter
randomisation test with all weights at once: the network is built anew with first weights as its
recipe draws them, the same class of the same image is explained, and the two maps are compared by
Spearman's rank correlation, of their values and of their magnitudes. A method whose map stays the
same draws the picture (its edges, its brightness), not what the network learned.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from convforge.analysis.explanation import compute_values, needs_classifier
from convforge.classifier import Classifier
from convforge.errors import InputError
from convforge.networks.catalog import create

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from convforge.analysis.explanation import Explanation
    from convforge.analysis.occlusion import Progress

DRAWS = 5  # random networks: one alone can be like the trained one by chance
LIMIT = 0.5  # of the mean correlation; the paper names none


@dataclass(frozen=True, kw_only=True)
class Sanity:
    """Rank correlations of a map with those of `DRAWS` networks with random weights.

    `values` compares the maps (of Grad-CAM before its ReLU, which would leave many without an
    order), `magnitudes` their absolute values; one number -1…1 a draw, None
    where either map is the same everywhere, so that it has no order.
    """

    values: tuple[float | None, ...]
    magnitudes: tuple[float | None, ...]

    @property
    def correlation(self) -> float | None:
        """The mean of the draws, of values or magnitudes: of whichever is more alike."""
        means = [_mean(self.values), _mean(self.magnitudes)]
        return max((mean for mean in means if mean is not None), key=abs, default=None)

    @property
    def passed(self) -> bool | None:
        """Whether the map depends on the weights; None where that cannot be told."""
        return None if self.correlation is None else abs(self.correlation) < LIMIT

    @property
    def verdict(self) -> str:
        """In a sentence."""
        if self.correlation is None:
            return "it cannot be told whether the map depends on the weights: it is flat"
        if self.passed:
            return "the map depends on what the network learned"
        return (
            "a network with random weights gives nearly the same map: it shows the picture more "
            "than what was learned"
        )

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            **asdict(self),
            "correlation": self.correlation,
            "limit": LIMIT,
            "passed": self.passed,
            "verdict": self.verdict,
        }


def check_sanity(
    classifier: Classifier, explanation: Explanation, *, progress: Progress | None = None
) -> Sanity:
    """Compare an explanation with those of the same network with random weights.

    `explanation` is what `explain` gave for `classifier`. The same call gives the same numbers.
    `progress` is called with (networks done, how many, what is being done). Raises InputError for a
    compiled artifact and for a network that is not of the catalogue, whose weights cannot be drawn
    again.
    """
    needs_classifier(classifier, "its weights have to be drawn again")
    if not classifier.card.network:
        raise InputError(
            "explain: the check builds the network again with random weights, and this one is not "
            "of the catalogue; `convforge list` shows those that are"
        )
    draws = []
    for seed in range(DRAWS):
        if progress is not None:
            progress(seed, DRAWS, "explaining networks with random weights")
        values, _ = compute_values(
            _randomized(classifier, seed=seed),
            explanation.image,
            method=explanation.method,
            index=explanation.target.index,
            # A random network may bend too much to add up; it is not the one to be explained.
            steps=explanation.completeness.steps if explanation.completeness else None,
        )
        draws.append(values)
    mine = explanation.values
    return Sanity(
        values=tuple(rank_correlation(mine, draw) for draw in draws),
        magnitudes=tuple(rank_correlation(np.abs(mine), np.abs(draw)) for draw in draws),
    )


def rank_correlation(a: NDArray[np.float32], b: NDArray[np.float32]) -> float | None:
    """Spearman's rank correlation of two arrays of one shape, -1…1; equal values share a rank.

    None where either is the same everywhere.
    """
    x, y = _ranks(a), _ranks(b)
    x, y = x - x.mean(), y - y.mean()
    scale = float(np.sqrt((x @ x) * (y @ y)))
    return float(np.clip(x @ y / scale, -1, 1)) if scale > 0 else None


def _ranks(values: NDArray[np.float32]) -> NDArray[np.float64]:
    _, place, counts = np.unique(values.reshape(-1), return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: NDArray[np.float64] = (last - (counts - 1) / 2)[place]
    return ranks


def _randomized(classifier: Classifier, *, seed: int) -> Classifier:
    device = next(classifier.net.parameters()).device
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = create(classifier.card.network, **classifier.card.arguments)
    return Classifier(net.to(device).eval(), classifier.card)


def _mean(correlations: tuple[float | None, ...]) -> float | None:
    known = [one for one in correlations if one is not None]
    return fmean(known) if known else None
