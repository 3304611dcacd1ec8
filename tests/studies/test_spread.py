import math
import sys

import numpy as np
import pytest
from scipy import stats

from convforge.errors import PackageError
from convforge.studies.spread import Spread, against, difference, worst

ONE, OTHER = Spread((0.10, 0.12, 0.11)), Spread((0.20, 0.26, 0.17, 0.21))


def test_mean_and_deviation_are_numpy_s():
    assert ONE.mean == pytest.approx(np.mean(ONE.values))
    assert ONE.deviation == pytest.approx(np.std(ONE.values, ddof=1))
    assert Spread((0.3,)).deviation == 0
    assert ONE.to_json() == {
        "mean": ONE.mean,
        "deviation": ONE.deviation,
        "values": [0.10, 0.12, 0.11],
    }


def test_the_difference_of_two_has_scipy_s_welch_interval():
    found = difference(ONE, OTHER)
    oracle = stats.ttest_ind(ONE.values, OTHER.values, equal_var=False).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((oracle.low, oracle.high))
    assert found.estimate == pytest.approx(ONE.mean - OTHER.mean)


def test_the_difference_from_a_number_has_scipy_s_interval():
    found = against(OTHER, 0.1)
    oracle = stats.ttest_1samp(OTHER.values, 0.1).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((oracle.low - 0.1, oracle.high - 0.1))


def test_the_verdict_is_where_the_interval_lies():
    below, above, near = difference(ONE, OTHER), difference(OTHER, ONE), difference(ONE, ONE)
    assert [one.verdict_below for one in (below, above, near)] == [
        "holds",
        "does not hold",
        "undecided",
    ]
    assert [one.verdict_above for one in (below, above, near)] == [
        "does not hold",
        "holds",
        "undecided",
    ]


def test_once_is_not_enough_to_decide():
    single = Spread((0.1,))
    for found in (difference(single, OTHER), difference(OTHER, single), against(single, 5.0)):
        assert (found.low, found.high) == (-math.inf, math.inf)
        assert found.verdict_below == "undecided"


def test_measurements_that_all_agree_say_nothing_of_their_spread():
    low, high = Spread((0.5, 0.5)), Spread((0.54, 0.54))
    for found in (difference(low, high), difference(low, low), against(low, 0.1)):
        assert (found.low, found.high) == (-math.inf, math.inf)
        assert found.verdict_below == found.verdict_above == "undecided"
    assert difference(low, Spread((0.7, 0.71, 0.7))).verdict_below == "holds"


def test_of_several_verdicts_the_worst_counts():
    assert worst("holds", "holds") == "holds"
    assert worst("holds", "undecided") == "undecided"
    assert worst("undecided", "does not hold", "holds") == "does not hold"


def test_without_scipy_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.stats", None)
    with pytest.raises(PackageError, match=r"needs scipy.*convforge\[train\]"):
        difference(ONE, OTHER)
