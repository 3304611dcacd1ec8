"""A few steps on a copy of the network, to see how long they take, and what fits into a time.

epochs = (time left - measuring "test") / (steps of an epoch + measuring "val")
"""

from __future__ import annotations

import copy
import dataclasses
import statistics
import time
from typing import TYPE_CHECKING

import numpy as np
import torch

from convforge.errors import TimeLimitError
from convforge.images.stored import take
from convforge.training.distributed import ALONE, Team
from convforge.training.fitting import steps_an_epoch
from convforge.training.learner import Batch, Learner
from convforge.training.limit import FORWARD, SPARE, Costs
from convforge.training.machine import PLAIN, Machine
from convforge.training.recipe import RANGES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from convforge.images.decoding import Decoded
    from convforge.images.preprocess import Preprocess
    from convforge.networks.contract import ConvNet
    from convforge.training.recipe import Recipe

SECONDS = 2.0  # that the steps of a trial take at least, but for the first
STEPS = 3  # at least


class Trial:
    """Steps of a network on decoded images; `net` and torch's generator stay as they are.

    In a team each process tries its own share of a batch, and the first one's figures count.
    """

    def __init__(
        self,
        net: ConvNet,
        decoded: Mapping[str, Decoded],
        *,
        preprocess: Preprocess,
        team: Team = ALONE,
    ) -> None:
        self.net, self.team = net, team
        self.counts = {name: len(one.part) for name, one in decoded.items()}
        self._train, self._preprocess = decoded["train"], preprocess

    def step_seconds(
        self, recipe: Recipe, *, machine: Machine = PLAIN, small: bool = False
    ) -> float:
        """Median time of a step at full image size, or at that of the recipe's small images."""
        count = min(recipe.batch_size, self.counts["train"])
        rows = self.team.share(np.arange(count))
        pixels, labels = take(self._train.pixels, rows), self._train.part.labels[rows]
        batch = Batch(pixels, labels, whole=count)
        with torch.random.fork_rng(devices=[]):
            learner = Learner(
                copy.deepcopy(self.net).train(),
                # All steps are the first one, which is of the small images if any is.
                recipe=recipe if small else dataclasses.replace(recipe, small_images=0.0),
                preprocess=self._preprocess,
                machine=machine,
            )
            learner.step(batch, step=0, steps=1)  # allocates, and compiles
            times: list[float] = []
            while len(times) < STEPS or sum(times) < SECONDS:
                started = time.perf_counter()
                learner.step(batch, step=0, steps=1)
                times.append(time.perf_counter() - started)
        return self.team.agree(statistics.median(times))

    def costs(self, recipe: Recipe, *, machine: Machine) -> Costs:
        """What steps and looking at images take on this machine now."""
        step = small = self.step_seconds(recipe, machine=machine)
        if recipe.small_images:
            small = self.step_seconds(recipe, machine=machine, small=True)
        image = recipe.small_images * small + (1 - recipe.small_images) * step
        image *= FORWARD / recipe.batch_size
        return Costs(step=step, small=small, image=image, counts=self.counts)

    def epochs(self, seconds: float, recipe: Recipe, *, costs: Costs, least: float = 1.0) -> int:
        """The most epochs that end before `seconds` are over, by `epochs_within`."""
        share = recipe.small_images
        a_step = share * costs.small + (1 - share) * costs.step
        left = self.team.agree(seconds)
        return epochs_within(left, a_step=a_step, counts=self.counts, recipe=recipe, least=least)


def epochs_within(
    seconds: float,
    *,
    a_step: float,
    counts: Mapping[str, int],
    recipe: Recipe,
    least: float = 1.0,
) -> int:
    """The most epochs that end before `seconds` are over, measuring included.

    `a_step` is the time of a step, `counts` the images of each part. Where a part of an epoch fits,
    it is one. Raises TimeLimitError where fewer than `least` fit, saying how long one takes.
    """
    an_image = a_step * FORWARD / recipe.batch_size
    an_epoch = a_step * steps_an_epoch(counts["train"], recipe) + an_image * counts.get("val", 0)
    epochs = (SPARE * seconds - an_image * counts.get("test", 0)) / an_epoch
    if epochs < least:
        raise TimeLimitError(
            f"time limit: one epoch takes about {an_epoch:.0f} s here, and {max(seconds, 0):.0f} s "
            "are left; give more time, take a smaller network or input_size, or fewer images",
            names=["input_size"],
        )
    return min(max(1, int(epochs)), int(RANGES["epochs"][1]))
