import dataclasses

import pytest
from torch import nn

from convforge.studies import activation
from convforge.studies.catalog import CATALOG
from convforge.studies.learning import Run
from convforge.studies.spread import Spread


def layers(net, kind):
    return [layer for layer in net.modules() if isinstance(layer, kind)]


@pytest.mark.parametrize("name", list(activation.ACTIVATIONS))
def test_only_the_activation_changes(name):
    net = activation.network(10, 1, name=name)
    kind = activation.ACTIVATIONS[name]
    assert len(layers(net, kind)) == 4
    others = {nn.ReLU, nn.Tanh, nn.Sigmoid} - {kind}
    assert not layers(net, tuple(others))
    assert sum(p.numel() for p in net.parameters()) == 61_706


def test_a_rate_is_better_that_reaches_the_threshold_sooner_then_that_errs_less():
    soon, late, never, less = (
        activation.badness(Run(errors, (0.0,) * len(errors), (1.0,) * len(errors)))
        for errors in ((0.2, 0.2), (0.6, 0.1), (0.9, 0.8), (0.9, 0.7))
    )
    assert soon < late < less < never
    assert (never[0], less[0]) == (2, 2)


def test_a_run_that_never_gets_there_counts_with_all_its_epochs():
    reached, never = Run((0.5, 0.0), (0, 0), (1, 2)), Run((0.9, 0.8), (0, 0), (1, 2))
    assert activation.epochs_to_threshold((reached, never)).values == (1.5, 2.0)


def test_the_verdicts_follow_from_the_epochs():
    found = activation.findings(
        {
            "relu": Spread((1.0, 1.1)),
            "tanh": Spread((6.0, 6.1)),
            "sigmoid": Spread((5.0, 5.1)),
        }
    )
    assert [one.verdict for one in found] == ["holds", "does not hold"]
    assert "tanh takes 5.76 times as many" in found[0].measured


@pytest.mark.slow
def test_it_runs_and_its_table_has_every_activation(task):
    result = activation.run(CATALOG["activation"], dataclasses.replace(task, count=64))
    assert [row[0] for row in result.rows] == ["tanh", "sigmoid", "relu"]
    assert all(row[1] in activation.RATES for row in result.rows)
    assert len(result.panels[0].series) == 3
