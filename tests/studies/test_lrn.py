import dataclasses

import pytest

from convforge.networks.blocks import LocalResponseNorm
from convforge.studies import lrn
from convforge.studies.catalog import CATALOG
from convforge.studies.latency import Timed
from convforge.studies.learning import Run
from convforge.studies.spread import Spread


def runs(*errors):
    return tuple(Run((error,), (error,), (1.0,)) for error in errors)


def test_the_two_differ_in_normalisation_alone():
    found = [
        [type(layer) for layer in lrn.network(10, 3, normalised=one, maps=8).features]
        for one in (True, False)
    ]
    assert found[0].count(LocalResponseNorm) == 2
    assert [kind for kind in found[0] if kind is not LocalResponseNorm] == found[1]


def test_the_verdicts_follow_from_errors_and_times():
    timed = {"with": Timed(1, Spread((2.0, 2.1)), 0.0), "without": Timed(1, Spread((1.0, 1.1)), 0)}
    better = lrn.findings({"with": runs(0.11, 0.12), "without": runs(0.2, 0.21)}, timed)
    assert [one.verdict for one in better] == ["holds", "holds"]
    swapped = {"with": timed["without"], "without": timed["with"]}
    alike = lrn.findings({"with": runs(0.1, 0.2), "without": runs(0.1, 0.21)}, swapped)
    assert [one.verdict for one in alike] == ["undecided", "does not hold"]


@pytest.mark.slow  # trainings, compiled networks
def test_it_runs_and_measures_error_and_time(task):
    result = lrn.run(CATALOG["lrn"], dataclasses.replace(task, count=64))
    assert [row[0] for row in result.rows] == ["with", "without"]
    assert all(row[5].mean > 0 for row in result.rows)
    assert len(result.panels[0].series) == 4
