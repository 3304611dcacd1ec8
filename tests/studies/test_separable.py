import pytest

from convforge.analysis.arithmetic import depthwise_separable_ratio
from convforge.studies import separable
from convforge.studies.catalog import CATALOG
from convforge.studies.latency import Timed
from convforge.studies.spread import Spread
from convforge.studies.study import Task


def pair(n, *, share, kernel=3):
    """A full convolution of 1 ms and a pair that takes `share` of it in each session."""
    macs = 28 * 28 * n * n * kernel**2
    fewer = int(macs * depthwise_separable_ratio(n, kernel_size=kernel))
    full = Timed(macs, Spread((1.0,) * len(share)), 0.0)
    return full, Timed(fewer, Spread(share), 0.0)


def test_the_verdicts_follow_from_counts_and_times():
    pairs = {
        1: pair(1, share=(3.0, 3.1)),  # more multiply-adds: not among those that should be faster
        4: pair(4, share=(1.5, 1.6)),
        8: pair(8, share=(0.6, 0.61)),
        64: pair(64, share=(0.1, 0.1001)),
    }
    found = separable.findings(3, pairs)
    assert [one.verdict for one in found] == ["holds", "does not hold", "holds"]
    assert found[1].measured == "not faster at N = 4; faster from N = 8 on"
    slow = separable.findings(3, pairs | {64: pair(64, share=(0.3, 0.31))})
    assert slow[2].verdict == "does not hold"
    unsure = separable.findings(3, pairs | {64: pair(64, share=(0.1, 0.2))})
    assert unsure[2].verdict == "undecided"
    miscounted = {8: (Timed(7, pairs[8][0].ms, 0.0), pairs[8][1])}
    assert separable.findings(3, miscounted)[0].verdict == "does not hold"


def test_where_it_is_always_faster_or_never_it_says_so():
    fast = separable.findings(3, {2: pair(2, share=(0.5, 0.51)), 8: pair(8, share=(0.5, 0.51))})
    assert (fast[1].verdict, fast[1].measured) == ("holds", "faster from N = 2 on")
    never = separable.findings(3, {8: pair(8, share=(2.0, 2.1))})
    assert never[1].measured == "not faster at N = 8; never faster"


@pytest.mark.slow  # trainings, compiled networks
def test_it_runs_for_every_kernel_and_number_of_maps(monkeypatch):
    monkeypatch.setitem(separable.MAPS, "default", (4, 32))
    monkeypatch.setattr(separable, "KERNELS", (3,))
    result = separable.run(CATALOG["separable"], Task(seeds=2))
    assert [row[:2] for row in result.rows] == [("3x3", 4), ("3x3", 32)]
    for row in result.rows:
        assert row[4] == pytest.approx(row[5]) == pytest.approx(1 / row[1] + 1 / 9)
    assert result.findings[0].verdict == "holds"
