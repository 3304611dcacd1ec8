"""The course of a run: its own steps to the bit, or passed faster; it always comes to its end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convforge.training.pace import Pace


@pytest.mark.parametrize("steps", [1, 3, 7, 1000, 99_991])
def test_without_a_change_the_place_is_the_step_to_the_bit(steps):
    pace = Pace.of(steps)
    assert (pace.end, pace.stride) == (steps, 1.0)
    for step in {0, 1, steps // 3, steps - 1}:
        assert pace.at(step) == step
        assert pace.done(step + 0.5) == (step + 0.5) / steps
        assert pace.latest(step) == steps


def test_a_shortened_run_takes_longer_strides_to_the_same_end():
    pace = Pace.of(100, [{"step": 20, "end": 60}])
    assert pace.stride == 2
    assert [pace.at(step) for step in (20, 21, 40, 60)] == [20, 22, 60, 100]
    assert pace.done(59.5) == 0.99
    assert pace.latest(30) == 90, "60 steps of the course are left"
    longer = pace.ending(90, step=30)
    assert [longer.at(step) for step in (30, 31, 90)] == [40, 41, 100]


@given(data=st.data(), steps=st.integers(2, 5000))
def test_whatever_changes_the_course_never_goes_back_and_ends_with_the_run(data, steps):
    pace, step, places = Pace.of(steps), 0, [0.0]
    for _ in range(data.draw(st.integers(0, 5))):
        if pace.end - step < 2:
            break
        step = data.draw(st.integers(step, pace.end - 1))
        places.append(pace.at(step))
        latest = pace.latest(step)
        assert pace.end <= latest <= steps
        pace = pace.ending(data.draw(st.integers(step + 1, latest)), step=step)
        assert pace.at(step) == places[-1]
    places.append(pace.at(pace.end - 0.5))
    assert places == sorted(places)
    assert places[-1] < steps
    assert pace.at(pace.end) == pytest.approx(steps, rel=1e-12)
    assert pace.stride > 1 - 1e-9
