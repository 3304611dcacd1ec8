import os
import platform

from convforge.processors import processor_name, processors


def test_they_are_those_that_the_process_may_use(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5}, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    assert processors() == 2


def test_they_are_all_where_the_system_does_not_say(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert processors() == 1


def test_the_name_is_the_first_ones_or_what_python_says(monkeypatch, tmp_path):
    monkeypatch.setattr("convforge.processors._CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(platform, "processor", lambda: "a processor")
    assert processor_name() == "a processor"
    (tmp_path / "cpuinfo").write_text("processor : 0\nmodel name\t: A 1\nmodel name\t: B 2\n")
    assert processor_name() == "A 1"
    (tmp_path / "cpuinfo").write_text("processor : 0\n")
    assert processor_name() == "a processor"
