import pytest

from convforge.analysis.summary import describe
from convforge.networks.catalog import create
from convforge.studies import bottleneck
from convforge.studies.catalog import CATALOG
from convforge.studies.latency import Timed
from convforge.studies.spread import Spread
from convforge.studies.study import Task


def timed(alone, behind, *, macs=bottleneck.EXACT):
    return {
        "inception3a alone": Timed(macs[0], Spread(alone), 0.0),
        "inception3a behind": Timed(macs[1], Spread(behind), 0.0),
    }


def verdicts(found):
    faster = {"inception3a": bottleneck.ratio(found, "inception3a")}
    return [one.verdict for one in bottleneck.findings(found, faster)]


def test_the_notes_case_costs_120_m_and_12_4_m_exactly():
    branches = bottleneck.branches("inception3a")
    counted = tuple(describe(net, input_shape=shape[1:]).macs for net, shape in branches.values())
    assert counted == bottleneck.EXACT == (120_422_400, 12_443_648)


def test_the_branches_are_googlenet_s():
    net = create("googlenet")
    inputs = {}
    for name in bottleneck.INPUTS:
        getattr(net.features, name).register_forward_pre_hook(
            lambda _module, x, name=name: inputs.update({name: tuple(x[0].shape[1:])})
        )
    describe(net)
    assert inputs == {
        name: (channels, side, side) for name, (side, channels) in bottleneck.INPUTS.items()
    }


def test_the_verdicts_follow_from_counts_and_times():
    assert verdicts(timed((12.0, 12.1), (1.0, 1.0))) == ["holds"] * 4
    assert verdicts(timed((5.0, 5.1), (1.0, 1.0))) == ["holds", "holds", "does not hold", "holds"]
    assert verdicts(timed((1.0, 1.0), (1.1, 1.11), macs=(1, 1)))[:2] == ["does not hold"] * 2
    assert verdicts(timed((1.0, 5.0), (1.0, 1.0)))[1] == "undecided"


@pytest.mark.slow  # trainings, compiled networks
def test_it_runs_on_the_blocks_of_its_size(monkeypatch):
    monkeypatch.setitem(bottleneck.TIMED, "default", ("inception3a",))
    result = bottleneck.run(CATALOG["bottleneck"], Task(seeds=2))
    (row,) = result.rows
    assert row[:4] == ("inception3a", "28x28x192 → 16 → 32", 120_422_400, 12_443_648)
    assert row[4] == pytest.approx(9.6777, abs=1e-3)
    assert result.findings[0].verdict == "holds"
    assert result.panels[0].ticks == ("3a",)
