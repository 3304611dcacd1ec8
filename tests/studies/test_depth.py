import dataclasses

import pytest

from convforge.networks.catalog import CATALOG as NETWORKS
from convforge.studies import depth
from convforge.studies.catalog import CATALOG
from convforge.studies.learning import Run
from convforge.studies.study import Task


def runs(*errors):
    return tuple(Run((error,), (error + 0.01,), (1.0,)) for error in errors)


@pytest.mark.parametrize("name", ["plain20", "plain56", "resnet20", "resnet56"])
def test_at_the_paper_s_maps_the_networks_are_the_paper_s(name):
    net = depth.network(name, 10, 3, maps=depth.MAPS)
    assert sum(p.numel() for p in net.parameters()) == NETWORKS[name].parameters


def test_full_size_is_section_4_2():
    sizes = depth.SIZES["full"]
    assert (sizes.side, sizes.epochs, sizes.maps) == (32, 182, 16)
    assert sizes.images is None


def test_the_verdicts_follow_from_the_errors():
    as_in_the_paper = {
        "plain-20": runs(0.10, 0.11),
        "plain-56": runs(0.30, 0.31),
        "residual-20": runs(0.05, 0.051),
        "residual-56": runs(0.02, 0.021),
    }
    assert [one.verdict for one in depth.findings(as_in_the_paper)] == ["holds"] * 3
    otherwise = as_in_the_paper | {"residual-56": runs(0.40, 0.41), "plain-56": runs(0.02, 0.2)}
    assert [one.verdict for one in depth.findings(otherwise)] == [
        "undecided",
        "does not hold",
        "undecided",
    ]


def test_it_runs_and_its_table_has_every_network(monkeypatch):
    small = dataclasses.replace(depth.SIZES["default"], side=8, images=70, held_out=20)
    monkeypatch.setitem(depth.SIZES, "default", small)
    monkeypatch.setattr(depth, "LAYERS", (20, 20))
    task = Task(epochs=1, seeds=1, device="cpu")
    monkeypatch.setattr(depth, "findings", lambda _: ())
    result = depth.run(CATALOG["depth"], task)
    assert [row[0] for row in result.rows] == ["plain-20", "residual-20"]
    assert result.rows[0][1] == result.rows[1][1]
    assert [panel.title for panel in result.panels] == ["plain", "residual"]
    assert result.sizes["images to train on"] == 70
    assert result.sizes["epochs"] == 1
