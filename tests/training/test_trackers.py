"""Trackers keep what they were told, read back by the tracker's own reader."""

from __future__ import annotations

import contextlib
import dataclasses
import json

import pytest

from convforge.cli.main import run as command
from convforge.training.course import Course
from convforge.training.log import read_log
from convforge.training.loggers import open_loggers
from convforge.training.trackers import TensorBoard

RECORD = {"network": "lenet5", "recipe": {"epochs": 2, "augment": {"flip": True}}}
ROWS = [
    {"epoch": 1, "step": 5, "seconds": 0.5, "loss": 1.25, "val_top1": 0.5},  # of an old state
    {"epoch": 2, "step": 10, "seconds": 1.0, "loss": 0.75, "val_top1": 0.625, "val_loss": 0.5},
]


@dataclasses.dataclass
class Card:
    """As much of a card as is told."""

    metrics: dict


CARD = Card({"test": {"top1": 0.875, "top5": None, "interval": [0.5, 1.0]}, "seconds": 3.0})


def scalars(folder):
    """{name: [(step, value), …]} of the event files in a folder, and the texts."""
    reading = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    found = reading.EventAccumulator(str(folder))
    found.Reload()
    tags = found.Tags()
    values = {tag: [(e.step, e.value) for e in found.Scalars(tag)] for tag in tags["scalars"]}
    return values, tags["tensors"]


def test_tensorboard_has_a_curve_a_column_and_the_figures_of_the_end(tmp_path):
    pytest.importorskip("tensorboard")
    tracker = TensorBoard(tmp_path)
    tracker.start(RECORD, Course())
    for row in ROWS:
        tracker.epoch(row)
    tracker.end(CARD, [])
    tracker.close(ended=True)
    values, texts = scalars(tmp_path)
    assert values == {
        "epoch": [(5, 1.0), (10, 2.0)],
        "seconds": [(5, 0.5), (10, 1.0)],
        "loss": [(5, 1.25), (10, 0.75)],
        "val_top1": [(5, 0.5), (10, 0.625)],
        "val_loss": [(10, 0.5)],
        "test/top1": [(10, 0.875)],
    }
    assert texts == ["run/text_summary"]
    assert tracker.place == f"tensorboard --logdir {tmp_path}"


def test_tensorboard_shows_a_run_that_goes_on_once(tmp_path):
    pytest.importorskip("tensorboard")
    killed = TensorBoard(tmp_path)
    killed.start(RECORD, Course())
    for row in ROWS:  # the second one's state was not saved
        killed.epoch(row)
    again = TensorBoard(tmp_path)
    again.start(RECORD, Course(step=5, history=ROWS[:1]))
    again.epoch(ROWS[1])
    again.close(ended=True)
    assert scalars(tmp_path)[0]["loss"] == [(5, 1.25), (10, 0.75)]
    killed.close(ended=False)


@pytest.fixture
def mlflow(tmp_path, monkeypatch):
    """MLflow with a folder to keep runs in; gives its client."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "kept").as_uri())
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("DO_NOT_TRACK", "1")
    package = pytest.importorskip("mlflow")
    package.set_tracking_uri((tmp_path / "kept").as_uri())
    yield package.MlflowClient()
    package.set_tracking_uri(None)


def only_run(client):
    experiment = client.get_experiment_by_name("convforge")
    (run,) = client.search_runs([experiment.experiment_id])
    return run


def test_mlflow_has_parameters_metrics_and_the_report(tmp_path, mlflow):
    folder = tmp_path / "cats.run"
    folder.mkdir()
    (folder / "report.html").write_text("the report")
    with open_loggers(["mlflow"], folder) as loggers:
        loggers.start(RECORD, Course())
        for row in ROWS:
            loggers.epoch(row)
        loggers.end(CARD, [folder / "report.html"])
    run = only_run(mlflow)
    assert run.data.params == {
        "network": "lenet5",
        "recipe.epochs": "2",
        "recipe.augment.flip": "True",
    }
    assert run.info.run_name == "cats"
    assert run.info.status == "FINISHED"
    assert run.data.metrics["test/top1"] == 0.875
    history = mlflow.get_metric_history(run.info.run_id, "loss")
    assert [(one.step, one.value) for one in history] == [(5, 1.25), (10, 0.75)]
    assert [file.path for file in mlflow.list_artifacts(run.info.run_id)] == ["report.html"]
    assert loggers.said == [f"mlflow: {(tmp_path / 'kept').as_uri()}, run {run.info.run_id}"]


def test_a_run_that_goes_on_is_one_run_of_mlflow(tmp_path, mlflow):
    folder = tmp_path / "cats.run"
    folder.mkdir()
    with contextlib.suppress(KeyError), open_loggers(["mlflow"], folder) as loggers:
        loggers.start(RECORD, Course())
        loggers.epoch(ROWS[0])
        raise KeyError
    assert only_run(mlflow).info.status == "KILLED"
    with open_loggers(["mlflow"], folder) as loggers:
        loggers.start(RECORD, Course(step=5, history=ROWS[:1]))
        loggers.epoch(ROWS[1])
    run = only_run(mlflow)
    assert run.info.status == "FINISHED"
    history = mlflow.get_metric_history(run.info.run_id, "loss")
    assert [(one.step, one.value) for one in history] == [(5, 1.25), (10, 0.75)]


def test_a_run_that_mlflow_has_not_seen_comes_with_the_rows_so_far(tmp_path, mlflow):
    (tmp_path / "cats.run").mkdir()
    with open_loggers(["mlflow"], tmp_path / "cats.run") as loggers:
        loggers.start(RECORD, Course(step=5, history=ROWS[:1]))
        loggers.epoch(ROWS[1])
    history = mlflow.get_metric_history(only_run(mlflow).info.run_id, "loss")
    assert [(one.step, one.value) for one in history] == [(5, 1.25), (10, 0.75)]


@pytest.mark.slow
def test_a_command_logs_to_all_three(tmp_path, mlflow, monkeypatch, capsys):
    """Weights & Biases offline: its file has what would be sent."""
    pytest.importorskip("wandb")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "offline")
    logs = [word for name in ("tensorboard", "mlflow", "wandb") for word in ("--log", name)]
    quick = ("-n", "lenet5_relu", "--epochs", "2", "-o", "d.safetensors", "--json")
    assert command(["train", "digits", *quick, *logs]) == 0
    record = json.loads(capsys.readouterr().out)
    names = [line.partition(":")[0] for line in record["logged"]]
    assert names == ["tensorboard", "mlflow", "wandb"]
    rows = read_log(tmp_path / "d.run")
    losses = [(int(row["step"]), row["loss"]) for row in rows]
    found = scalars(tmp_path / "d.run")[0]["loss"]
    assert [step for step, _ in found] == [step for step, _ in losses]
    assert [value for _, value in found] == pytest.approx([value for _, value in losses])
    run = only_run(mlflow)
    history = mlflow.get_metric_history(run.info.run_id, "loss")
    assert [(one.step, one.value) for one in history] == losses
    sent = list(_wandb_rows(tmp_path / "d.run" / "wandb"))
    assert [(row["_step"], row["loss"]) for row in sent] == losses
    (report,) = (tmp_path / "d.run" / "wandb").glob("offline-run-*/files/report.html")
    assert report.read_text() == (tmp_path / "d.run" / "report.html").read_text()


def _wandb_rows(folder):
    """The rows in the file of a run that was kept offline."""
    from wandb.proto import wandb_internal_pb2

    (file,) = folder.glob("offline-run-*/*.wandb")
    for data in _records(file.read_bytes()):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        if record.HasField("history"):
            items = record.history.item
            yield {one.key or one.nested_key[0]: json.loads(one.value_json) for one in items}


def _records(data):
    """The records of a file in LevelDB's log format after a head of 7 bytes.

    Blocks of 32 KiB; before each piece of a record its checksum (4 bytes), length (2) and whether
    it is whole (1), first (2), in the middle (3) or last (4).
    """
    place, record = 7, b""
    while place + 7 <= len(data):
        if 32_768 - place % 32_768 < 7:
            place += 32_768 - place % 32_768
            continue
        length, kind = int.from_bytes(data[place + 4 : place + 6], "little"), data[place + 6]
        if kind == 0:
            return
        record += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in {1, 4}:
            yield record
            record = b""
