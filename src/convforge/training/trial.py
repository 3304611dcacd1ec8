"""A few steps on a copy of the network, to see how long they take, and what fits into a time.

epochs = (time left - measuring "test") / (steps of an epoch + measuring "val")
"""

from __future__ import annotations

import copy
import dataclasses
import statistics
import time
from typing import TYPE_CHECKING

import torch

from convforge.errors import RecipeError
from convforge.training.fitting import steps_an_epoch
from convforge.training.learner import Batch, Learner
from convforge.training.machine import PLAIN, Machine

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from convforge.images.preprocess import Preprocess
    from convforge.networks.contract import ConvNet
    from convforge.training.recipe import Recipe

SECONDS = 2.0  # that the steps of a trial take at least, but for the first
STEPS = 3  # at least
FORWARD = 1 / 3  # of a step's time: what an image costs that is only looked at
SPARE = 0.95  # of a time limit is planned


def step_seconds(
    net: ConvNet,
    pixels: Sequence[NDArray[np.uint8]] | NDArray[np.uint8],
    labels: NDArray[np.int64],
    *,
    recipe: Recipe,
    preprocess: Preprocess,
    machine: Machine = PLAIN,
) -> float:
    """Median time of a step at full image size; `net` and torch's generator stay as they are."""
    count = min(recipe.batch_size, len(labels))
    batch = Batch(pixels[:count], labels[:count], whole=count)
    with torch.random.fork_rng(devices=[]):
        learner = Learner(
            copy.deepcopy(net).train(),
            recipe=dataclasses.replace(recipe, small_images=0.0),
            preprocess=preprocess,
            machine=machine,
        )
        learner.step(batch, step=0, steps=1)  # allocates, and compiles
        times: list[float] = []
        while len(times) < STEPS or sum(times) < SECONDS:
            started = time.perf_counter()
            learner.step(batch, step=0, steps=1)
            times.append(time.perf_counter() - started)
    return statistics.median(times)


def epochs_within(
    seconds: float, *, a_step: float, counts: Mapping[str, int], recipe: Recipe
) -> int:
    """The most epochs that end before `seconds` are over, measuring included.

    `a_step` is the time of a step, `counts` the images of each part. Raises RecipeError where not
    even one epoch fits, saying how long one takes.
    """
    an_image = a_step * FORWARD / recipe.batch_size
    an_epoch = a_step * steps_an_epoch(counts["train"], recipe) + an_image * counts.get("val", 0)
    epochs = int((SPARE * seconds - an_image * counts.get("test", 0)) / an_epoch)
    if epochs < 1:
        raise RecipeError(
            f"time limit: one epoch takes about {an_epoch:.0f} s here, and {seconds:.0f} s are "
            "left; give more time, take a smaller network or input_size, or fewer images"
        )
    return epochs
