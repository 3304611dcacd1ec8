import pytest

from convforge.errors import BudgetError
from convforge.scaling.budget import Budget, rounded_up
from convforge.scaling.latency import Cost


def cost(ms, megabytes):
    return Cost(ms=ms, file_bytes=int(megabytes * 1e6), macs=1, parameters=1)


def test_use_is_the_larger_share_of_the_two():
    both = Budget(max_ms=2, max_mb=4)
    assert both.use(cost(1, 1)) == 0.5
    assert both.use(cost(1, 6)) == 1.5
    assert Budget(max_mb=4).use(cost(100, 1)) == 0.25
    assert both.text() == "2 ms and 4 MB"


@pytest.mark.parametrize("limits", [{}, {"max_ms": 0}, {"max_mb": -1}, {"max_ms": float("nan")}])
def test_a_budget_that_is_none_is_refused(limits):
    with pytest.raises(BudgetError, match=r"give max_ms|expected a number above 0"):
        Budget(**limits)


def test_an_impossible_budget_names_what_would_be_met():
    with pytest.raises(BudgetError) as caught:
        Budget(max_ms=0.1, max_mb=4).check_smallest(cost(0.412, 0.3), network="vgg11")
    said = str(caught.value)
    assert "the smallest vgg11 that is tried takes 0.412 ms and 0.3 MB" in said
    assert "over the budget of 0.1 ms and 4 MB; give at least max_ms 0.46, or" in said
    with pytest.raises(BudgetError, match=r"max_ms 0\.46 and max_mb 0\.33"):
        Budget(max_ms=0.1, max_mb=0.1).check_smallest(cost(0.412, 0.3), network="vgg11")


@pytest.mark.parametrize("ms", [0.0123, 0.4, 1.0, 37.0, 990.0])
def test_what_is_advised_is_met(ms):
    with pytest.raises(BudgetError) as caught:
        Budget(max_ms=ms / 2).check_smallest(cost(ms, 1), network="vgg11")
    advised = float(str(caught.value).partition("max_ms ")[2].partition(",")[0])
    Budget(max_ms=advised).check_smallest(cost(ms, 1), network="vgg11")


def test_rounding_is_up_and_to_two_digits():
    found = [rounded_up(value) for value in (0.412, 12.1, 0.5, 99.1, 0.0999)]
    assert found == ["0.42", "13", "0.5", "1e+02", "0.1"]
