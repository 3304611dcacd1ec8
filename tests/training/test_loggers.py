"""Loggers: each row once, whatever happens to the run; one that fails does not end it."""

from __future__ import annotations

import contextlib
import dataclasses
import sys

import numpy as np
import pytest

from convforge.errors import OutputError, PackageError
from convforge.images.dataset import Images, Split
from convforge.training.course import Course
from convforge.training.loggers import LOGGERS, Loggers, open_loggers
from convforge.training.trainer import train


class Broken(Exception):
    """What a server says that is gone."""


class Told:
    """Keeps what it is told; fails at the call `fails_at`."""

    errors = (Broken,)
    place = "here"

    def __init__(self, fails_at=None):
        self.calls, self.fails_at = [], fails_at

    def _call(self, name, *what):
        self.calls.append((name, *what))
        if name == self.fails_at:
            raise Broken("the server is gone")

    def start(self, record, course):
        self._call("start", record, course.step, [dict(row) for row in course.history])

    def epoch(self, row):
        self._call("epoch", dict(row))

    def end(self, card, files):
        self._call("end", card.network, list(files))

    def close(self, *, ended):
        self._call("close", ended)

    @property
    def names(self):
        return [call[0] for call in self.calls]


def images():
    pixels = np.random.default_rng(0).integers(0, 256, (12, 32, 32, 3), np.uint8)
    labels = np.arange(12) % 2
    names = tuple(map(str, range(12)))
    part = Split(name="train", names=names, labels=labels, read=pixels.__getitem__)
    test = dataclasses.replace(part, name="test")
    splits = {"train": part, "test": test}
    return Images(uri="", classes=("a", "b"), channels=1, splits=splits, fingerprint="0" * 64)


def run(folder, logger, *, epochs=3, stop_after=None):
    class Killed(Exception):
        pass

    def progress(done, total, message):
        if message.startswith("epoch") and done == stop_after:
            raise Killed

    try:
        return train(
            images(),
            network="lenet5_relu",
            epochs=epochs,
            folder=folder,
            save_every=1e6,
            logger=logger,
            progress=progress,
        )
    except Killed:
        return None


def test_a_run_tells_its_record_then_every_row_of_its_log(tmp_path):
    told = Told()
    card = run(tmp_path, told).card
    assert told.names == ["start", "epoch", "epoch", "epoch"]
    _, record, step, history = told.calls[0]
    assert (step, history) == (0, [])
    assert record["network"] == "lenet5_relu"
    assert record["recipe"] == card.recipe
    assert record["data"] == {"fingerprint": "0" * 64, "weights": None}
    rows = [call[1] for call in told.calls[1:]]
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert rows[-1]["loss"] == card.metrics["train"]["loss"]


def test_a_run_that_goes_on_tells_where_and_the_rows_that_are_left(tmp_path):
    whole = Told()
    run(tmp_path / "whole", whole)
    before, after = Told(), Told()
    assert run(tmp_path / "cut", before, stop_after=2) is None
    run(tmp_path / "cut", after)
    assert before.names == ["start", "epoch", "epoch"]
    _, _, step, history = after.calls[0]
    assert step == 2
    rows = [*history, *(call[1] for call in after.calls[1:])]

    def figures(row):
        return {name: value for name, value in row.items() if name != "seconds"}

    assert [figures(row) for row in rows] == [figures(call[1]) for call in whole.calls[1:]]


def test_a_logger_needs_the_folder_of_the_run():
    with pytest.raises(OutputError, match="no folder of the run"):
        run(None, Told())


def test_one_that_fails_is_told_no_more_and_the_others_are(tmp_path):
    broken, whole = Told(fails_at="epoch"), Told()
    loggers = Loggers({"broken": broken, "whole": whole})
    card = run(tmp_path, loggers).card
    loggers.end(card, [])
    loggers.close(ended=True)
    assert broken.names == ["start", "epoch"]
    assert whole.names == ["start", "epoch", "epoch", "epoch", "end", "close"]
    assert loggers.said == ["broken was told no more: the server is gone", "whole: here"]


def test_one_that_cannot_start_ends_the_run_before_a_step(tmp_path):
    broken, never = Told(fails_at="start"), Told()
    loggers = Loggers({"mlflow": broken, "wandb": never})
    with pytest.raises(OutputError, match="--log mlflow: the server is gone"):
        run(tmp_path, loggers)
    loggers.close(ended=False)
    assert broken.names == ["start"]
    assert never.names == []


def test_a_run_without_epochs_starts_with_its_end(tmp_path):
    told = Told()
    loggers = Loggers({"told": told})
    card = run(tmp_path, None, epochs=1).card
    loggers.end(card, [tmp_path / "report.html"])
    assert told.names == ["start", "end"]
    assert told.calls[0][1]["network"] == "lenet5_relu"
    assert told.calls[1] == ("end", "lenet5_relu", [tmp_path / "report.html"])


def test_one_that_cannot_be_reached_in_the_end_is_only_named(tmp_path):
    loggers = Loggers({"mlflow": Told(fails_at="start")})
    card = run(tmp_path, None, epochs=1).card
    loggers.end(card, [])
    loggers.close(ended=True)
    assert loggers.said == ["--log mlflow: the server is gone"]


def test_it_is_closed_as_ended_or_not(tmp_path, monkeypatch):
    made = []

    def build(folder):
        assert folder == tmp_path
        made.append(Told())
        return made[-1]

    monkeypatch.setitem(LOGGERS, "told", build)
    with open_loggers(["told", "told"], tmp_path) as loggers:
        loggers.start({}, Course())
    with contextlib.suppress(KeyError), open_loggers(["told"], tmp_path) as loggers:
        loggers.start({}, Course())
        raise KeyError
    assert [told.calls[-1] for told in made] == [("close", True), ("close", False)]


def test_of_a_team_the_first_process_tells(tmp_path, monkeypatch):
    monkeypatch.setitem(LOGGERS, "told", lambda folder: pytest.fail("made"))
    monkeypatch.setenv("RANK", "1")
    with open_loggers(["told"], tmp_path) as loggers:
        loggers.start({}, Course())
    assert loggers.said == []


def test_an_unknown_name_is_refused(tmp_path):
    expected = "--log neptune: expected one of tensorboard, mlflow, wandb"
    with pytest.raises(OutputError, match=expected), open_loggers(["neptune"], tmp_path):
        pass


@pytest.mark.parametrize(
    ("name", "module"),
    [("tensorboard", "torch.utils.tensorboard"), ("mlflow", "mlflow"), ("wandb", "wandb")],
)
def test_a_package_that_is_missing_is_named_with_its_extra(name, module, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    words = rf"--log {name}: needs the package {name}.*convforge\[log\]"
    with pytest.raises(PackageError, match=words), open_loggers([name], tmp_path):
        pass
