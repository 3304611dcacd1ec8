import json

import pytest
from PIL import Image

from convforge.cli import study as command
from convforge.studies.catalog import CATALOG
from convforge.studies.spread import Spread
from convforge.studies.study import Column, Finding, Panel, Report, Result, Series


@pytest.fixture
def asked(monkeypatch):
    """What `run` was asked for; it answers at once."""
    found = []

    def run(name, task):
        found.append((name, task))
        result = Result(
            sizes={"seeds": 2},
            columns=(Column("network"), Column("error", "share")),
            rows=(("plain", Spread((0.1, 0.3))),),
            findings=(Finding(claim="It is so", measured="much", verdict="undecided"),),
            panels=(Panel(title="t", x="x", y="y", series=(Series(label="a", x=(1,), y=(2,)),)),),
            remarks=("A remark.",),
        )
        return Report(
            study=CATALOG[name], result=result, command="c", circumstances={"machine": "m"}
        )

    monkeypatch.setattr(command, "run", run)
    return found


def test_the_folder_gets_page_picture_and_numbers(cli, asked, tmp_path):
    result = cli("study", "depth", "-o", tmp_path / "out")
    assert (result.code, result.err) == (0, "")
    folder = tmp_path / "out"
    assert {file.name for file in folder.iterdir()} == {"depth.html", "depth.png", "depth.json"}
    with Image.open(folder / "depth.png") as picture:
        assert picture.size[0] > 100
    record = json.loads((folder / "depth.json").read_text())
    assert record["table"][0]["error"]["mean"] == 0.2
    for words in ("20.00 % ± 14.14", "It is so: undecided", "A remark.", "saved as"):
        assert words in result.out


def test_options_become_the_task_and_json_is_for_machines(cli, asked, tmp_path):
    result = cli(
        *("study", "lrn", "--data", "digits:3", "--full", "--seeds", "4", "--epochs", "5"),
        *("--images", "60", "--device", "cpu", "-o", tmp_path, "--json"),
    )
    assert json.loads(result.out)["study"] == "lrn"
    ((name, task),) = asked
    assert (name, task.size, task.images, task.device) == ("lrn", "full", "digits:3", "cpu")
    assert (task.seeds, task.epochs, task.count) == (4, 5, 60)


def test_by_default_the_folder_is_named_after_the_study(cli, asked, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli("study", "padding").code == 0
    assert (tmp_path / "padding.study" / "padding.html").exists()


def test_what_cannot_be_is_refused_before_anything_runs(refused, asked, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused("study", "widht", words=["no study is named 'widht'", "depth, lrn, bottleneck"])
    (tmp_path / "file").write_text("")
    refused("study", "depth", "-o", "file", words=["file: cannot be made a folder", "--output"])
    assert not asked


def test_data_for_a_study_that_trains_nothing_is_refused(refused, tmp_path):
    refused("study", "bottleneck", "--data", "digits", "-o", tmp_path, words=["trains nothing"])
