import pytest

from convforge.analysis.scaling import Rule
from convforge.errors import BudgetError
from convforge.scaling.budget import AIM, Budget
from convforge.scaling.candidates import TRIES, Candidate, Fitter, without_twins
from convforge.scaling.space import named_mixes, smallest_factors


@pytest.fixture
def fitter(cost_of, made_up):
    """A fitter of resnet20 by made-up costs, and the list of what it measured."""
    measured = []

    def make(**budget):
        def measure(arguments):
            measured.append(arguments)
            return cost_of("resnet20", arguments)

        found = Fitter(
            network="resnet20",
            fields={"num_classes": 10, "in_channels": 1},
            input_size=None,
            budget=Budget(**budget),
            smallest=smallest_factors("resnet20"),
            measure=measure,
        )
        found.check()
        return found, measured

    return make


def test_every_mix_makes_the_most_of_the_budget_by_few_measurements(fitter):
    found, measured = fitter(max_ms=3.0)  # the paper's takes 4.06
    mixes = named_mixes(["compound", "width", "resolution", "depth"], rule=Rule())
    candidates = [found.candidate(mix) for mix in mixes]
    for one in candidates:
        assert not one.reason
        assert one.cost.ms <= AIM * 3.0
    # sides are multiples of 8 pixels, maps of 8: what comes next is far off
    assert max(one.cost.ms for one in candidates) >= 0.75 * AIM * 3.0
    assert len(measured) <= 1 + 4 * TRIES


def test_half_a_budget_gives_a_network_of_half_the_time(fitter):
    found, _ = fitter(max_ms=8.0)
    whole, half = (
        found.candidate(mix) for mix in named_mixes(["compound", "half of compound"], rule=Rule())
    )
    assert half.cost.ms <= AIM * 4.0 < whole.cost.ms


def test_megabytes_bound_it_too(fitter):
    found, _ = fitter(max_mb=0.6)
    (mix,) = named_mixes(["width"], rule=Rule())
    assert found.candidate(mix).cost.file_bytes <= AIM * 600_000


def test_a_mix_that_cannot_get_there_says_what_its_smallest_takes(fitter):
    found, _ = fitter(max_ms=0.3)
    (mix,) = named_mixes(["depth"], rule=Rule())
    one = found.candidate(mix)
    assert one.reason.startswith("over the budget: its smallest takes 1.")
    assert one.arguments == {"width": 1.0, "depth": 0.25, "input_size": 32}


def test_a_budget_below_the_smallest_is_refused_after_one_measurement(fitter):
    with pytest.raises(BudgetError, match=r"the smallest resnet20 .* give at least max_ms"):
        fitter(max_ms=0.001)


def test_a_candidate_comes_back_from_json(candidate):
    one = candidate(reason="why not")
    assert Candidate.from_json(one.to_json()) == one


def test_of_twins_the_first_competes(candidate):
    first, second = candidate("a", signature="x"), candidate("b", signature="x")
    unfit = candidate("c", signature="x", reason="over the budget")
    found = without_twins([unfit, first, second])
    assert [one.reason for one in found] == ["over the budget", "", "the same network as a"]
