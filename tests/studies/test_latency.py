import pytest
from torch import nn

from convforge.errors import ConvforgeError
from convforge.studies import latency
from convforge.studies.spread import Spread
from convforge.studies.study import Task

MODULES = {
    "small": (nn.Conv2d(3, 4, 3, padding=1), (1, 3, 8, 8)),
    "large": (nn.Conv2d(64, 64, 3, padding=1), (1, 64, 64, 64)),
}


def test_modules_are_compiled_checked_and_timed_by_turns():
    said = []
    task = Task(progress=lambda _done, _total, message: said.append(message))
    found = latency.time_by_turns(MODULES, sessions=2, task=task, rounds=3)
    assert found["small"].macs == 8 * 8 * 4 * 3 * 9
    assert found["large"].macs == 64 * 64 * 64 * 64 * 9
    for one in found.values():
        assert len(one.ms.values) == 2
        assert 0 <= one.error < latency.TOLERANCE
    assert min(found["large"].ms.values) > max(found["small"].ms.values) > 0
    assert said == ["compiling small", "compiling large", *["timing, by turns"] * 2]


def test_what_computes_something_else_is_not_timed(monkeypatch):
    monkeypatch.setattr(latency, "TOLERANCE", -1.0)
    with pytest.raises(ConvforgeError, match="is off by"):
        latency.time_by_turns(MODULES, sessions=1, task=Task(), rounds=1)


def test_remarks_tell_the_largest_difference_and_a_busy_machine(monkeypatch):
    timed = {
        name: latency.Timed(1, Spread((1.0,)), error) for name, error in (("a", 3e-7), ("b", 1e-8))
    }
    monkeypatch.setattr(latency.os, "cpu_count", lambda: 2)
    monkeypatch.setattr(latency.os, "getloadavg", lambda: (1.9, 9.0, 9.0))
    (checked,) = latency.remarks(timed)
    assert "3.0e-07" in checked
    monkeypatch.setattr(latency.os, "getloadavg", lambda: (2.1, 0.0, 0.0))
    assert "load 2.1 on 2 processors" in latency.remarks(timed)[1]
