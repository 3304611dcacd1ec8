import dataclasses

import pytest
import torch

from convforge.studies import residual
from convforge.studies.catalog import CATALOG
from convforge.studies.learning import Run, open_pool
from convforge.studies.residual import VARIANTS, Variant


@pytest.fixture(scope="module")
def pool():
    from convforge.studies.study import Task

    sizes = dataclasses.replace(residual.SIZES["default"], images=64, held_out=20)
    return open_pool(CATALOG["residual"], Task(device="cpu"), sizes)


def runs(*errors):
    return tuple(Run((error,), (error,), (1.0,)) for error in errors)


def shortcuts(net):
    return sum(getattr(module, "has_shortcut", False) for module in net.modules())


def test_a_variant_changes_one_thing():
    found = {
        name: residual.network(10, 1, variant=variant, maps=8) for name, variant in VARIANTS.items()
    }
    assert shortcuts(found["the paper's"]) == 7
    assert shortcuts(found["no shortcut"]) == 0
    weights = {name: sum(p.numel() for p in net.parameters()) for name, net in found.items()}
    assert weights["no shortcut"] == weights["ReLU6 on the way out"] == weights["the paper's"]
    x = torch.randn(2, 1, 16, 16)
    blocks = found["ReLU6 on the way out"].features[:-1]
    assert blocks(x).min() >= 0
    assert found["the paper's"].features[:-1](x).min() < 0


def test_other_expansions_get_maps_for_about_the_same_multiply_adds(pool):
    wanted = residual.macs(Variant(), pool, maps=8)
    for expansion in (1, 3):
        variant = Variant(expansion=expansion)
        maps = residual.equal_maps(variant, pool, maps=8)
        assert maps > 8
        assert residual.macs(variant, pool, maps=maps) == pytest.approx(wanted, rel=0.15)
    assert residual.equal_maps(Variant(), pool, maps=8) == 8


def test_the_verdicts_follow_from_the_errors():
    found = dict.fromkeys(VARIANTS, runs(0.2, 0.21, 0.2)) | {"the paper's": runs(0.1, 0.11, 0.1)}
    assert [one.verdict for one in residual.findings(found)] == ["holds"] * 3
    found["no shortcut"], found["expansion 1"] = runs(0.05, 0.05, 0.05), runs(0.1, 0.12, 0.1)
    assert [one.verdict for one in residual.findings(found)] == [
        "does not hold",
        "holds",
        "undecided",
    ]


@pytest.mark.slow  # trainings, compiled networks
def test_it_runs_and_its_table_has_every_variant(task, monkeypatch):
    monkeypatch.setattr(residual, "BLOCKS", 1)
    result = residual.run(CATALOG["residual"], dataclasses.replace(task, count=64))
    assert [row[0] for row in result.rows] == list(VARIANTS)
    assert len(result.panels[0].series) == len(VARIANTS)
