import re

import pytest

from convforge.scaling.budget import Budget
from convforge.scaling.pictures import letters, picture
from convforge.scaling.plan import Plan, Rung
from convforge.scaling.report import report_html, save_report
from convforge.scaling.result import record_of
from convforge.scaling.search import Standing


@pytest.fixture
def record(candidate):
    standings = [
        Standing(candidate=candidate("a", ms=1.8), scores=[0.7, 0.8]),
        Standing(candidate=candidate("b<", ms=1.0), scores=[0.6, 0.7]),
        Standing(candidate=candidate("c", ms=1.9), scores=[0.5]),
        Standing(candidate=candidate("d", ms=1.5)),
        Standing(candidate=candidate("e", ms=9.0, reason="over the budget")),
    ]
    rungs = (Rung(images=100, epochs=2), Rung(images=300, epochs=2))
    found = record_of(
        standings,
        network="resnet20",
        uri="a&b",
        budget=Budget(max_ms=2),
        threads=1,
        target="native",
        seed=0,
        plan=Plan(rungs=rungs, candidates=4, proposals=0, macs=10**7),
        winner="a",
    )
    metrics = {"test": {"top1": 0.9, "interval": [0.85, 0.95], "count": 200}}
    shipped = {"file": "x.safetensors", "artifact": "x.so", "ms": 1.81, "megabytes": 1.0}
    return {
        **found,
        **shipped,
        "metrics": metrics,
        "epochs": 9,
        "trained": "9 epochs",
        "seconds": 100.0,
    }


def test_the_record_says_what_became_of_every_candidate(record):
    states = [row["state"] for row in record["candidates"]]
    expected = ["winner", "out after rung 2", "out after rung 1", "not trained: no time"]
    assert states == [*expected, "over the budget"]
    assert record["front"] == ["b<", "a"]


def test_the_page_has_every_candidate_and_needs_nothing_else(record, tmp_path):
    page = save_report(tmp_path, record).read_text()
    assert page == report_html(record)
    for letter, row in zip(letters(5), record["candidates"], strict=True):
        assert row["state"] in page
        assert f"<td>{letter}</td>" in page
        assert f">{letter}</text>" in page
    assert "b&lt;" in page
    assert "b<<" not in page
    assert "a&amp;b" in page
    assert "90.00%" in page
    assert not re.search(r'(src|href)="(?!#)', page)


def test_a_candidate_that_was_not_trained_has_no_accuracy_but_a_time(record):
    svg = picture(record)
    assert len(re.findall(r">[A-E]</text>", svg)) == 3 + 5  # left those trained, right all


def test_without_a_search_the_page_says_so(record):
    plan = {**record["plan"], "rungs": []}
    rows = [{**row, "scores": []} for row in record["candidates"]]
    page = report_html({**record, "plan": plan, "candidates": rows, "front": []})
    assert "there was one candidate, or no time" in page
    assert "right answers after" not in page


def test_letters_go_on_after_z():
    assert letters(28)[24:] == ["Y", "Z", "AA", "AB"]
