import sys

import pytest

from convforge.analysis.scaling import Factors
from convforge.errors import PackageError
from convforge.scaling.plan import Plan, Rung
from convforge.scaling.search import search
from convforge.scaling.space import SMALLEST

RUNGS = (Rung(images=100, epochs=1), Rung(images=300, epochs=1))


@pytest.fixture
def run(candidate):
    """A search among candidates whose accuracy is their width; what was trained, what proposed."""

    def start(widths, *, proposals=0, begin=None, score=None, seed=0, reasons=(), chance=0.0):
        trained, proposed = [], []
        named = [candidate(f"{width}", width=width) for width in widths]
        named += [candidate(reason, reason=reason) for reason in reasons]

        def usual(one, rung):
            trained.append((one.name, rung))
            return one.arguments["width"]

        def fit(mix):
            factors = Factors(depth=mix.start.depth, resolution=mix.start.resolution)
            proposed.append(factors)
            width = 0.5 + 0.3 * factors.depth / 3
            return candidate(
                mix.name, width=width, depth=factors.depth, resolution=factors.resolution
            )

        plan = Plan(rungs=RUNGS, candidates=begin or len(widths) + proposals, proposals=proposals)
        found = search(
            named,
            plan=plan,
            score=score or usual,
            fit=fit,
            smallest=SMALLEST,
            seed=seed,
            chance=chance,
        )
        return found, trained, proposed

    return start


def test_the_best_third_goes_on_once_the_whole_rung_is_known(run):
    found, trained, _ = run([0.1, 0.5, 0.3, 0.9, 0.7, 0.2])
    assert [rung for _, rung in trained] == [0] * 6 + [1] * 2
    assert {name for name, rung in trained if rung == 1} == {"0.9", "0.7"}
    assert [one.candidate.name for one in found] == ["0.9", "0.7", "0.5", "0.3", "0.2", "0.1"]
    assert found[0].scores == [0.9, 0.9]


def test_guesses_decide_nothing(run):
    found, trained, proposed = run([0.11, 0.1, 0.12], chance=0.13, proposals=2)
    assert [one.candidate.name for one in found] == ["0.11", "0.1", "0.12"]
    assert len(trained) == 3
    assert proposed == []
    found, *_ = run([0.11, 0.1, 0.15], chance=0.13)
    assert found[0].candidate.name == "0.15"


def test_a_later_rung_outweighs_an_earlier_one(run):
    def score(one, rung):
        return one.arguments["width"] if rung == 0 else 1 - one.arguments["width"]

    found, *_ = run([0.1, 0.5, 0.3, 0.9, 0.7, 0.2], score=score)
    assert [one.candidate.name for one in found][:3] == ["0.7", "0.9", "0.5"]


def test_proposals_follow_from_the_seed_and_compete(run):
    first, _, proposed = run([0.1, 0.2, 0.3], proposals=3)
    again = run([0.1, 0.2, 0.3], proposals=3)
    assert proposed == again[2]
    assert proposed != run([0.1, 0.2, 0.3], proposals=3, seed=1)[2]
    assert len(first) == 6
    assert first[0].candidate.arguments["width"] >= 0.5
    for factors in proposed:
        assert 0.25 <= factors.depth <= 3
        assert 0.25 <= factors.resolution <= 1.25


def test_where_there_is_no_time_the_best_so_far_is_first(run):
    left = [3]

    def score(one, rung):
        left[0] -= 1
        return one.arguments["width"] if left[0] >= 0 else None

    found, *_ = run([0.1, 0.5, 0.3, 0.9], score=score)
    assert [one.candidate.name for one in found] == ["0.5", "0.3", "0.1", "0.9"]
    assert [len(one.scores) for one in found] == [1, 1, 1, 0]


def test_without_time_for_any_the_first_that_fits_is_first(run):
    found, *_ = run([0.1, 0.5], score=lambda *_: None, reasons=["over the budget"])
    assert [one.candidate.name for one in found] == ["0.1", "0.5", "over the budget"]


def test_no_more_begin_than_are_planned_and_none_that_is_over_the_budget(run):
    _, trained, _ = run([0.1, 0.5, 0.9], begin=2, reasons=["over the budget"])
    assert [name for name, rung in trained if rung == 0] == ["0.1", "0.5"]


def test_of_equals_the_faster_is_ahead(candidate):
    named = [candidate("slow", ms=2.0), candidate("fast", ms=1.0)]
    plan = Plan(rungs=RUNGS[:1], candidates=2, proposals=0)
    found = search(named, plan=plan, score=lambda *_: 0.5, fit=None, smallest=SMALLEST, seed=0)
    assert [one.candidate.name for one in found] == ["fast", "slow"]


def test_without_optuna_the_extra_is_named(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(PackageError, match=r'pip install "convforge\[scale\]"'):
        run([0.1, 0.2], proposals=1)
