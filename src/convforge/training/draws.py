"""Random numbers of a run: each from a generator of its own, that its place in the run gives.

The order of epoch 3 and the augmentation of step 100 follow from the recipe's seed and nothing
else. So a run that is taken up again, in the middle of an epoch too, draws what it would have
drawn, and there is no generator's state to keep.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ORDER, _AUGMENT, _DROPOUT = range(3)


def order(count: int, *, seed: int, epoch: int) -> NDArray[np.int64]:
    """The rows 0…count-1 as they are shown in `epoch`, counted from 0."""
    return np.random.default_rng([seed, _ORDER, epoch]).permutation(count)


def augmentation(*, seed: int, step: int, rank: int) -> np.random.Generator:
    """What the images of `step` are augmented with; each process of a team has its own."""
    return np.random.default_rng([seed, _AUGMENT, step, rank])


def dropout_seed(*, seed: int, step: int, rank: int) -> int:
    """What torch's generator, which dropout draws from, is seeded with before `step`."""
    sequence = np.random.SeedSequence([seed, _DROPOUT, step, rank])
    return int(sequence.generate_state(1, np.uint64)[0]) >> 1
