"""The course of a run: running means, JSON to the bit, and divergence with a finite loss."""

from __future__ import annotations

import json
import math

import pytest

from convforge.errors import RecipeError
from convforge.training.course import Course, Fitted, warning
from convforge.training.pace import Pace


def run(losses, *, chance=2.3):
    course = Course()
    for loss in losses:
        course.add(count=4, loss=loss, right=1)
        course.check(loss=loss, steps=100, chance=chance, rate=0.5)
    return course


def test_means_are_over_images():
    seen = Fitted().add(count=30, loss=1.0, right=30).add(count=10, loss=3.0, right=0)
    assert (seen.count, seen.loss, seen.accuracy) == (40, 1.5, 0.75)


def test_it_comes_back_from_json_to_the_bit():
    course = run([math.pi, 1 / 3, 0.1])
    course.history.append({"epoch": 1, "loss": 0.1})
    course.best = {"epoch": 1, "top1": 2 / 3}
    assert Course.from_json(json.loads(json.dumps(course.to_json()))) == course


def test_changes_of_the_end_are_kept_and_give_the_same_pace_again():
    course = Course(step=4)
    pace = course.change(Pace.of(20), end=12)
    assert course.change(pace, end=12) is pace
    course.step = 7
    pace = course.change(pace, end=9)
    assert course.changes == [{"step": 4, "end": 12}, {"step": 7, "end": 9}]
    again = Course.from_json(json.loads(json.dumps(course.to_json())))
    assert Pace.of(20, again.changes) == pace


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_is_refused(loss):
    with pytest.raises(RecipeError, match=rf"the loss is {loss} at step 3 of 100.* to 0\.05"):
        run([2.0, 2.0, loss])


def test_a_loss_that_grows_and_stays_finite_is_refused_with_both_values():
    with pytest.raises(RecipeError, match=r"diverged: the loss is .* was 2\.3 at first") as caught:
        run([2.3] * 20 + [400.0] * 20)
    assert "lower learning_rate" in str(caught.value)


def test_a_large_loss_at_the_start_that_falls_is_fine_and_so_is_one_spike():
    run([300.0, 200.0, 100.0, *[5.0] * 50])
    run([2.3] * 20 + [30.0] + [2.0] * 20)


def test_a_small_loss_that_grows_to_that_of_chance_is_no_divergence():
    run([0.01] * 20 + [2.3] * 50)


def test_a_network_that_learnt_nothing_is_told():
    dead = Fitted(count=100, loss=math.log(10), accuracy=0.1)
    told = warning(dead, chance=math.log(10) - 1e-9, most_frequent=0.12, steps=100)
    assert "has learnt nothing" in told
    assert "10.0%" in told
    assert "12.0%" in told
    assert told.endswith("change the learning rate")


@pytest.mark.parametrize(("steps", "said"), [(1, "1 step may"), (99, "99 steps may")])
def test_a_short_run_that_learnt_nothing_is_told_to_go_on(steps, said):
    told = warning(Fitted(10, 2.4, 0.1), chance=2.3, most_frequent=0.12, steps=steps)
    assert told.endswith(
        f"{said} be too few: train for more epochs, or start from published weights"
    )


def test_a_network_that_learnt_is_not_warned_about():
    assert warning(Fitted(10, 1.0, 0.1), chance=2.3, most_frequent=0.1, steps=9) == ""
    assert warning(Fitted(10, 30.0, 0.4), chance=2.3, most_frequent=0.1, steps=9) == "", "large"
