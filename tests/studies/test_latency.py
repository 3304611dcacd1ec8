import pytest
from torch import nn

from convforge.errors import ConvforgeError
from convforge.studies import latency
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
    worst = max(one.error for one in found.values())
    assert f"{worst:.1e}" in latency.largest_error(found)


def test_what_computes_something_else_is_not_timed(monkeypatch):
    monkeypatch.setattr(latency, "TOLERANCE", -1.0)
    with pytest.raises(ConvforgeError, match="is off by"):
        latency.time_by_turns(MODULES, sessions=1, task=Task(), rounds=1)
