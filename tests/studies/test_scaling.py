import dataclasses

import pytest

from convforge.studies import scaling
from convforge.studies.catalog import CATALOG
from convforge.studies.learning import Run
from convforge.studies.scaling import RULES, Plan

BASE = Plan(blocks=6, maps=8, side=16)


def runs(*errors):
    return tuple(Run((error,), (error,), (1.0,)) for error in errors)


@pytest.mark.parametrize("name", list(RULES))
def test_every_rule_spends_four_times_the_multiply_adds(name):
    plan = scaling.nearest(BASE, RULES[name])
    assert scaling.macs(plan) == pytest.approx(4 * scaling.macs(BASE), rel=0.08)
    changed = {
        field.name
        for field in dataclasses.fields(Plan)
        if getattr(plan, field.name) != getattr(BASE, field.name)
    }
    alone = {"depth": {"blocks"}, "width": {"maps"}, "resolution": {"side"}}
    assert changed == alone.get(name, {"blocks", "maps", "side"})


@pytest.mark.parametrize("blocks", [3, 5, 6, 7, 24])
def test_a_plan_is_built_as_it_says(blocks):
    net = scaling.network(10, 1, plan=dataclasses.replace(BASE, blocks=blocks))
    assert len(net.features) == blocks + 1
    assert net.head.linear.in_features == 4 * BASE.maps


def test_the_verdicts_follow_from_the_errors():
    found = scaling.findings(
        {
            "all": runs(0.1, 0.11, 0.1),
            "depth": runs(0.2, 0.21, 0.2),
            "width": runs(0.1, 0.12, 0.1),
            "resolution": runs(0.05, 0.051, 0.05),
        }
    )
    assert [one.verdict for one in found] == ["holds", "undecided", "does not hold"]


@pytest.mark.slow  # trainings, compiled networks
def test_it_runs_each_network_on_images_of_its_size(task, monkeypatch):
    small = dataclasses.replace(scaling.SIZES["default"], side=8, maps=4, held_out=20)
    monkeypatch.setitem(scaling.SIZES, "default", small)
    monkeypatch.setattr(scaling, "BLOCKS", 3)
    result = scaling.run(CATALOG["scaling"], dataclasses.replace(task, count=64))
    assert [row[0] for row in result.rows] == ["nothing", *RULES]
    base, *others = (row[4] for row in result.rows)
    assert all(2 * base < macs < 6 * base for macs in others)
    assert [len(panel.series) for panel in result.panels] == [1, 5]
