"""A time limit that is kept: the steps that still fit are counted again while a run goes on.

    what is to come = slowness · (steps · a step + epochs · the end of one + measuring)

The seconds are those of a few steps on the machine before the run; the slowness is what steps
have taken lately over that, the median of a tenth of the time that is left. Where what is to come
takes longer than what is left, the run gets an earlier end (`pace`), and a later one again, at most
the planned one, where there is time for many more steps.
"""

from __future__ import annotations

import statistics
import time
from bisect import bisect_right
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from convforge.training.learner import is_small

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from convforge.training.pace import Pace
    from convforge.training.recipe import Recipe

FORWARD = 1 / 3  # of a step's time: what an image costs that is only looked at
SPARE = 0.95  # of a time is planned
FEWEST = 3  # steps, or ends of epochs, whose median is believed
LATELY = 0.1  # of the time left: how far back the slowness looks
AGAIN = 0.01  # of the time left: until it is looked at again
MORE = 0.1  # of the steps to come, and AGAIN of the course, must fit beside: then it gets longer


@dataclass(frozen=True, kw_only=True)
class Costs:
    """Seconds of a step at full size, of one of small images, of an image that is only looked at.

    `counts` are the images of each part.
    """

    step: float
    small: float
    image: float
    counts: Mapping[str, int]


class Limit:
    """The time until `deadline`, by `clock`, of a run with `recipe` and these `costs`.

    `looks` is how often "val" is looked at once the loop has ended. In a team the first process's
    word counts.
    """

    looks: int = 1

    def __init__(
        self,
        deadline: float,
        costs: Costs,
        *,
        recipe: Recipe,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._deadline, self._costs, self._clock = deadline, costs, clock
        self.recipe = recipe
        self._an_epoch = max(1, costs.counts["train"] // recipe.batch_size)
        expected = costs.image * costs.counts.get("val", 0)
        self._epoch_ends = deque([expected], maxlen=FEWEST)  # of the latest, over their slowness
        self._lately: deque[tuple[float, float]] = deque()  # seconds of a step, and its slowness
        self._lately_s = 0.0
        self._mark = self._due = clock()

    def begin(self, earlier: float) -> None:
        """The loop begins; `earlier` seconds of the time went to a run that it goes on from."""
        self._deadline -= earlier
        self._mark = self._due = self._clock()

    def after_step(self, step: int, pace: Pace) -> int:
        """After `step` steps: the step that the run is to end with, which is to come or is done."""
        now = self._clock()
        took, self._mark = now - self._mark, now
        left = self._deadline - now
        small = is_small(self.recipe, step=step - 1, pace=pace)
        self._remember(took, took / (self._costs.small if small else self._costs.step), left)
        too_early = left > 0 and (now < self._due or len(self._lately) < FEWEST)
        if step >= pace.end or too_early:
            return pace.end
        self._due = now + AGAIN * left
        return self._end(step, pace, left)

    def after_epoch(self) -> None:
        """An epoch's end is over, validated and saved."""
        now = self._clock()
        took, self._mark = now - self._mark, now
        self._epoch_ends.append(took / self._slowness(FEWEST))

    def _end(self, step: int, pace: Pace, left: float) -> int:
        slowness = self._slowness()
        a_step = self._a_step(step, pace)
        epochs_done, epoch_end = (step - 1) // self._an_epoch, self._epoch_end()

        def seconds(end: int) -> float:
            epoch_ends = -(-end // self._an_epoch) - epochs_done
            return slowness * ((end - step) * a_step + epoch_ends * epoch_end + self._after_loop())

        latest = pace.latest(step)
        fits = step + max(1, bisect_right(range(step + 1, latest + 1), SPARE * left, key=seconds))
        if seconds(pace.end) > left:
            return min(fits, pace.end)
        fewest = max(MORE * (pace.end - step), AGAIN * pace.steps)
        return fits if fits - pace.end > fewest else pace.end

    def _a_step(self, step: int, pace: Pace) -> float:
        """The mean of those to come: as many of them are small as of the course to come."""
        place = pace.at(step)
        small = max(0.0, self.recipe.small_images * pace.steps - place) / (pace.steps - place)
        return small * self._costs.small + (1 - small) * self._costs.step

    def _after_loop(self) -> float:
        """Measuring, at what an image takes where "val" was looked at, with its saving."""
        val, test = (self._costs.counts.get(part, 0) for part in ("val", "test"))
        image = self._epoch_end() / val if val else self._costs.image
        return image * (self.looks * val + test)

    def _epoch_end(self) -> float:
        return statistics.median(self._epoch_ends)

    def _remember(self, seconds: float, slowness: float, left: float) -> None:
        self._lately.append((seconds, slowness))
        self._lately_s += seconds
        while len(self._lately) > FEWEST and self._lately_s > LATELY * left:
            self._lately_s -= self._lately.popleft()[0]

    def _slowness(self, count: int = 0) -> float:
        """Of all that are remembered, or of the last `count` steps."""
        return statistics.median([slowness for _, slowness in self._lately][-count:])
