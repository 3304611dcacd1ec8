"""A limit and a clock that is made up: it holds where steps get slower, and acts only then."""

from __future__ import annotations

import pytest

from convforge.training.limit import Costs, Limit
from convforge.training.pace import Pace
from convforge.training.recipe import Recipe

COUNTS = {"train": 100, "val": 30, "test": 60}
COSTS = Costs(step=1.0, small=0.5, image=0.01, counts=COUNTS)
AN_EPOCH = 10  # steps


class Machine:
    """Runs `epochs` as `fit` does; a step takes what it costs times `slowness(now)`."""

    def __init__(self, seconds, *, slowness=lambda _: 1.0, small_images=0.0, costs=COSTS):
        self.now, self.slowness, self.seconds = 0.0, slowness, seconds
        self.recipe = Recipe(batch_size=10, small_images=small_images)
        self.costs, self.changes, self.rates, self.small = costs, [], [], 0
        self.limit = Limit(seconds, costs, recipe=self.recipe, clock=lambda: self.now)

    def spend(self, seconds):
        self.now += seconds * self.slowness(self.now)

    def run(self, epochs):
        pace, step = Pace.of(epochs * AN_EPOCH), 0
        self.limit.begin(0.0)
        while step < pace.end:
            self.rates.append(self.recipe.rate(pace.done(step + 0.5)))
            small = pace.at(step) < self.recipe.small_images * pace.steps
            self.small += small
            self.spend(self.costs.small if small else self.costs.step)
            step += 1
            end = self.limit.after_step(step, pace)
            if step % AN_EPOCH == 0 or step == pace.end:
                self.spend(0.01 * COUNTS["val"])
                self.limit.after_epoch()
            if end != pace.end:
                self.changes.append((step, end))
                pace = pace.ending(end, step=step)
        self.spend(0.01 * (COUNTS["val"] + COUNTS["test"]))
        return step


def test_on_a_machine_that_stays_as_it_was_or_gets_faster_nothing_changes():
    for slowness in (lambda _: 1.0, lambda now: 0.3 if now > 50 else 1.0):
        machine = Machine(220, slowness=slowness)  # 20 epochs of 10.3 s, and 0.9 s
        assert machine.run(20) == 200
        assert machine.changes == []


@pytest.mark.parametrize("factor", [1.2, 2, 5, 20])
@pytest.mark.parametrize("since", [0.0, 0.5, 0.9])
def test_where_it_gets_slower_the_run_ends_in_time_and_with_the_last_rate(factor, since):
    machine = Machine(208, slowness=lambda now: factor if now > since * 208 else 1.0)  # 206.9 s
    steps = machine.run(20)
    assert machine.now <= 208 + 2.5 * factor, "two steps say how slow it is, a third is the last"
    assert steps < 200
    if factor <= 2:
        assert 0.9 * 208 < machine.now <= 208 + 0.5 * factor
        assert machine.rates[-1] < 0.1 * machine.recipe.learning_rate


def test_steps_that_get_slower_in_fits_and_starts_do_not_matter():
    machine = Machine(220, slowness=lambda now: 3.0 if 50 < now < 56 else 1.0)
    assert machine.run(20) == 200
    assert machine.changes == []


def test_a_machine_that_is_free_again_gets_more_steps_again_and_never_more_than_planned():
    slow = Machine(220, slowness=lambda now: 3.0 if now > 40 else 1.0).run(20)
    machine = Machine(220, slowness=lambda now: 3.0 if 40 < now < 90 else 1.0)
    steps = machine.run(20)
    assert slow + 30 < steps < 200
    assert machine.now <= 220
    ends = [end for _, end in machine.changes]
    assert min(ends) < steps, "it was shorter in between"


def test_small_images_keep_their_share_of_the_steps_and_are_no_sign_of_speed():
    machine = Machine(170, small_images=0.5)  # 20 epochs: 100 steps of 0.5 s, 100 of 1 s
    assert machine.run(20) == 200
    assert (machine.small, machine.changes) == (100, [])
    slow = Machine(170, small_images=0.5, slowness=lambda now: 2.0 if now > 20 else 1.0)
    steps = slow.run(20)
    assert slow.now <= 170
    assert slow.small < 100
    assert slow.small == pytest.approx(40 + (steps - 40) * 60 / 160, abs=3)


def test_an_earlier_runs_seconds_count():
    machine = Machine(220)
    machine.limit.begin(110.0)
    pace = Pace.of(200)
    for step in range(1, 6):
        machine.now += 1.0
        end = machine.limit.after_step(step, pace)
    assert 90 < end < 110


def test_a_time_that_is_over_leaves_one_step():
    machine = Machine(10)
    machine.limit.begin(0.0)
    machine.now = 50.0
    assert machine.limit.after_step(1, Pace.of(200)) == 2
    assert machine.limit.after_step(2, Pace.of(200, [{"step": 1, "end": 2}])) == 2


def test_measuring_counts_before_it_was_ever_done():
    costs = Costs(step=1.0, small=1.0, image=1.0, counts=COUNTS)  # 30 s an epoch, 90 s at last
    machine = Machine(150, costs=costs)
    limit = machine.limit
    limit.begin(0.0)
    pace = Pace.of(10)
    for step in range(1, 6):
        machine.now += 1.0
        end = limit.after_step(step, pace)
    assert end == 10
    limit.looks = 2
    machine.now += 3.0
    assert limit.after_step(6, pace) == 7
