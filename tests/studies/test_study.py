import json

import pytest

from convforge.studies.spread import Difference, Spread
from convforge.studies.study import Column, Task, percent


@pytest.mark.parametrize(
    ("kind", "cell", "text"),
    [
        ("text", "a", "a"),
        ("count", 12_443_648, "12,443,648"),
        ("share", 0.0875, "8.75 %"),
        ("number", 9.6777, "9.68"),
        ("share", Spread((0.1, 0.2, 0.3)), "20.00 % ± 10.00"),
        ("number", Spread((1.0, 1.0)), "1 ± 0"),
        ("number", None, ""),
    ],
)
def test_a_cell_is_shown_as_its_column_says(kind, cell, text):
    assert Column("it", kind).text(cell) == text


def test_a_difference_of_shares_is_shown_in_points():
    assert percent(Difference(0.042, 0.011, 0.073)) == "+4.20 points [+1.10, +7.30]"


def test_a_report_as_json_has_every_number(report):
    record = json.loads(json.dumps(report.to_json()))
    assert record["study"] == "depth"
    assert record["table"][0]["error"]["values"] == [0.1, 0.2, 0.3]
    assert record["table"][1] == {"network": "other", "MACs": 1, "error": 0.5}
    assert [one["verdict"] for one in record["findings"]] == ["holds", "does not hold"]
    assert record["findings"][1]["rule"] == "a rule"
    assert record["circumstances"] == {"machine": "2 x CPU", "seconds": 1.5}


def test_progress_is_told_where_somebody_listens():
    said = []
    Task(progress=lambda *words: said.append(words)).report(1, 2, "it")
    Task().report(1, 2, "it")
    assert said == [(1, 2, "it")]


def test_the_command_of_a_task_names_what_differs_and_no_folder():
    assert Task().command("depth") == "convforge study depth"
    task = Task(size="full", images="/a/private/cifar10/", count=50, epochs=3, seeds=4)
    assert task.command("lrn") == (
        "convforge study lrn --full --data cifar10 --images 50 --epochs 3 --seeds 4"
    )
