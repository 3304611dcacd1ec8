import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convforge.errors import TimeLimitError
from convforge.scaling.plan import SHARE, TRIAL_S, Plan, Rung, Speed, plan_by_epochs, plan_by_time


def by_time(**over):
    speed = Speed(macs=1000, seconds=over.pop("a_pass", 0.004))
    usual = {"limit": 900.0, "spent": 60.0, "reserve": 0.0, "speed": speed, "macs": [1000] * 6}
    usual |= {"images": 9000, "proposals": 3, "epochs": 20, "batch_size": 16, **over}
    return plan_by_time(**{"usable": usual["images"] * 4 // 5, **usual})


def by_epochs(epochs, **over):
    usual = {"images": 9000, "batch_size": 16, "named": 6, "proposals": 3, **over}
    return plan_by_epochs(epochs, **usual)


def seconds_of(plan, *, a_pass):
    """What all rungs take, the best third going on."""
    counts = [plan.candidates]
    for _ in plan.rungs[1:]:
        counts.append(math.ceil(counts[-1] / 3))
    return sum(
        count * (TRIAL_S + rung.images * rung.epochs * a_pass)
        for count, rung in zip(counts, plan.rungs, strict=True)
    )


@given(
    limit=st.floats(300, 40_000),
    a_pass=st.floats(1e-5, 0.01),
    images=st.integers(300, 50_000),
    share_spent=st.floats(0, 0.3),
)
def test_a_search_takes_about_its_share_of_the_time(limit, a_pass, images, share_spent):
    spent = share_spent * SHARE * limit
    try:
        plan = by_time(limit=limit, spent=spent, a_pass=a_pass, images=images)
    except TimeLimitError:
        assert a_pass * images > 0.5 * limit
        return
    assert plan.rungs or plan.candidates == 1
    if plan.rungs:
        assert plan.rungs[-1].images <= images
        assert len(plan.rungs) == 1 + (plan.candidates > 3)
        # epochs are whole, so that a rung may be half an epoch longer than it should
        assert seconds_of(plan, a_pass=a_pass) <= 1.5 * (SHARE * limit - spent)


def test_what_the_winner_takes_beside_its_training_is_not_trained_in():
    free, short = by_time(limit=175), by_time(limit=175, reserve=50)
    assert short.ideal == pytest.approx(free.ideal * 65 / 115, rel=0.01)
    with pytest.raises(TimeLimitError, match=r"give at least 8m") as told:
        by_time(limit=175, reserve=120)
    assert told.value.names == ("max_train",)


def test_less_time_means_fewer_candidates_and_then_none():
    counts = [by_time(limit=limit).candidates for limit in (3600, 900, 350, 200)]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] == 9
    assert by_time(limit=175).rungs == ()


def test_rungs_that_would_compare_luck_are_left_out():
    plan = by_time(batch_size=64, limit=900)
    assert plan.candidates == 2
    assert plan.rungs[0].images * plan.rungs[0].epochs >= 100 * 64
    assert by_time(batch_size=512).rungs == ()


def test_the_nearest_to_what_all_epochs_leave_time_for_come_first():
    plan = by_time(limit=440, spent=80, batch_size=256)
    # 36 s an epoch, 20 of them in the 360 s that are left: half of the largest's multiply-adds
    assert (plan.rungs, plan.ideal) == ((), 500)
    assert [plan.distance(macs) for macs in (1000, 500, 250, 125)] == [1, 0, 1, 2]
    # With time for more, nothing is nearer than the largest.
    plenty = by_time(limit=36_000)
    assert plenty.ideal == plenty.macs == 1000
    assert [plenty.distance(macs) for macs in (1000, 500, 250)] == [0, 1, 2]
    assert by_epochs(20).distance(7) == 0


def test_those_that_begin_are_planned_by_what_they_take_themselves():
    macs = [1000, 900, 800, 120, 100, 90]
    plan = by_time(macs=macs, limit=440, a_pass=0.02)
    # 440 s of 0.02 s an image: an ideal of 79, beside which the last three stand
    assert (plan.candidates, plan.macs, plan.ideal) == (3, 120, 79)
    assert plan.a_pass == pytest.approx(0.0024)
    assert seconds_of(plan, a_pass=plan.a_pass) <= 1.2 * (SHARE * 440 - 60)
    # of the largest, 100 steps of two would cost a fifth of the winner's time
    assert by_time(macs=[1000] * 6, limit=440, a_pass=0.02).rungs == ()


def test_where_the_largest_has_no_time_for_an_epoch_a_smaller_one_may():
    assert by_time(macs=[1000, 100, 100], limit=300, a_pass=0.03).ideal < 100
    with pytest.raises(TimeLimitError, match="one epoch takes about 270 s"):
        by_time(macs=[1000], limit=300, a_pass=0.03)


def test_times_between_two_networks_grow_with_a_power_of_multiply_adds():
    speed = Speed(macs=1000, seconds=0.1).through(10, 0.01)
    assert speed.a_pass(1000) == pytest.approx(0.1)
    assert speed.a_pass(10) == pytest.approx(0.01)
    assert speed.a_pass(100) == pytest.approx(math.sqrt(0.001))
    assert speed.macs_in(speed.a_pass(321)) == 321
    # a disturbed timing does not make a small network slower than a large one
    assert Speed(macs=1000, seconds=0.1).through(10, 0.2).a_pass(10) < 0.1


def test_a_limit_below_an_epoch_is_refused_and_one_that_would_do_named():
    with pytest.raises(
        TimeLimitError, match=r"one epoch takes about 90 s .* give at least (\d+)m"
    ) as e:
        by_time(limit=100, spent=20, a_pass=0.01)
    minutes = int(str(e.value).rpartition("at least ")[2].partition("m")[0])
    assert by_time(limit=60 * minutes, spent=20, a_pass=0.01).candidates >= 1


def test_one_mix_needs_no_search():
    assert by_time(macs=[1000], proposals=0).candidates == 1
    assert by_epochs(20, named=1, proposals=0).rungs == ()


def test_without_a_limit_rungs_are_a_ninth_and_a_third_of_the_epochs():
    plan = by_epochs(20)
    assert plan.rungs == (Rung(images=9000, epochs=2), Rung(images=9000, epochs=6))
    assert plan.epochs(1, macs=10) == plan.epochs(1, macs=10_000) == 6


@pytest.mark.parametrize(
    ("images", "epochs", "expected"),
    [
        (1000, 20, [7, 20]),  # 16 steps an epoch
        (1000, 90, [10, 30]),
        (400, 20, [16, 20]),
        (100, 20, [20]),  # all epochs are 40 steps of 100
        (10, 200, [100, 200]),  # a batch is all of them
    ],
)
def test_no_rung_is_of_so_few_steps_that_it_would_compare_luck(images, epochs, expected):
    plan = by_epochs(epochs, images=images, batch_size=64)
    assert [rung.epochs for rung in plan.rungs] == expected
    assert all(rung.images == images for rung in plan.rungs)


def test_within_a_limit_a_cheaper_network_sees_the_images_as_much_more_often():
    plan = Plan(rungs=(Rung(images=100, epochs=5),), candidates=2, proposals=0, macs=1000)
    assert [plan.epochs(0, macs=macs) for macs in (1000, 500, 400, 10)] == [5, 10, 12, 20]


def test_a_plan_comes_back_from_json():
    plan = by_time()
    assert Plan.from_json(plan.to_json()) == plan
