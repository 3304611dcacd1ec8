import json

import pytest

from convforge.files import cache_folder
from convforge.scaling import latency
from convforge.scaling.latency import Cost, Stopwatch

COST = Cost(ms=1.5, file_bytes=10, macs=3, parameters=4)


@pytest.fixture
def watch(monkeypatch):
    """Makes a stopwatch whose compiled networks cost COST, and counts them."""
    compiled = []

    def _compiled(self, arguments):
        compiled.append(arguments)
        return COST

    monkeypatch.setattr(Stopwatch, "_compiled", _compiled)
    return Stopwatch, compiled


def test_a_network_is_compiled_once_a_machine(watch):
    make, compiled = watch
    assert make("resnet20").measure({"width": 0.5}) == COST
    assert make("resnet20").measure({"width": 0.5}) == COST
    assert len(compiled) == 1
    make("resnet20", threads=2).measure({"width": 0.5})
    make("resnet20").measure({"width": 1.0})
    make("resnet32").measure({"width": 1.0})
    make("resnet20", again=True).measure({"width": 0.5})
    make("resnet20", form="page").measure({"width": 0.5})
    assert len(compiled) == 6


def test_another_machine_or_version_measures_for_itself(watch, monkeypatch):
    make, compiled = watch
    make("resnet20").measure({})
    monkeypatch.setattr(latency, "machine", lambda: "another")
    make("resnet20").measure({})
    monkeypatch.setattr(latency, "__version__", "9.9")
    make("resnet20").measure({})
    assert len(compiled) == 3


def test_a_damaged_or_unwritable_cache_costs_only_time(watch):
    make, compiled = watch
    make("resnet20").measure({})
    (kept,) = (cache_folder() / "latencies").iterdir()
    kept.write_text("{")
    assert make("resnet20").measure({}) == COST
    assert json.loads(kept.read_text())["ms"] == 1.5
    kept.unlink()
    kept.parent.rmdir()
    kept.parent.write_text("no folder")
    assert make("resnet20").measure({}) == COST
    assert len(compiled) == 3
