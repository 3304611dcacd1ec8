"""Where runs are watched: TensorBoard, MLflow, Weights & Biases, each as a `Logger`.

A run that is continued goes on in the tracker's run that it had, whose id its folder keeps; a
tracker that is new to a run is given all rows so far. Figures stand at the step of their epoch.
"""

from __future__ import annotations

import importlib
import json
import os
import secrets
import shutil
from typing import TYPE_CHECKING, Any

from convforge.errors import PackageError
from convforge.files import write_file

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from convforge.card import Card
    from convforge.training.course import Course

    Row = Mapping[str, Any]

PROJECT = "convforge"  # of runs on a server, where the environment names none
_PARTS = ("val", "test")  # whose figures are logged in the end


class TensorBoard:
    """Event files in the run's folder, written anew when a run goes on, as `log.csv` is."""

    errors: tuple[type[Exception], ...] = (OSError,)

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writer: Any = None
        self._step = 0
        self._open = _imported("torch.utils.tensorboard", package="tensorboard").SummaryWriter

    @property
    def place(self) -> str:
        """What shows it."""
        return f"tensorboard --logdir {self._folder}"

    def start(self, record: Mapping[str, Any], course: Course) -> None:
        """The record as a text, and the rows so far."""
        for old in self._folder.glob("events.out.tfevents.*"):
            old.unlink()
        self._writer = self._open(str(self._folder))
        self._writer.add_text("run", f"```json\n{json.dumps(record, indent=2)}\n```")
        for row in course.history:
            self.epoch(row)

    def epoch(self, row: Row) -> None:
        """A scalar a column."""
        self._step = row["step"]
        for name, value in row.items():
            if name != "step":
                self._writer.add_scalar(name, value, self._step)
        self._writer.flush()

    def end(self, card: Card, files: Sequence[Path]) -> None:
        """The figures of the parts that were held out; files lie beside the events already."""
        del files
        for name, value in _figures(card).items():
            self._writer.add_scalar(name, value, self._step)

    def close(self, *, ended: bool) -> None:
        """Nothing is said of how it ended."""
        del ended
        self._writer.close()


class MLflow:
    """A run on the server, or in the folder, that MLflow's own settings name."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._mlflow = _imported("mlflow", package="mlflow")
        self.errors: tuple[type[Exception], ...] = (self._mlflow.MlflowException, OSError)
        self._step = 0
        self._id = ""

    @property
    def place(self) -> str:
        """The server or folder, and the run's id there."""
        return f"{self._mlflow.get_tracking_uri()}, run {self._id}"

    def start(self, record: Mapping[str, Any], course: Course) -> None:
        """Fields as parameters, `recipe.epochs` and so on."""
        known = _known(self._folder, "mlflow", course)
        if known is None and "MLFLOW_EXPERIMENT_NAME" not in os.environ:
            self._mlflow.set_experiment(PROJECT)
        run = self._mlflow.start_run(
            run_id=known, run_name=None if known else self._folder.name.removesuffix(".run")
        )
        self._id = run.info.run_id
        if known is None:
            self._mlflow.log_params(_flat(record))
            _keep(self._folder, "mlflow", self._id)
            for row in course.history:
                self.epoch(row)

    def epoch(self, row: Row) -> None:
        """A metric a column."""
        self._step = row["step"]
        self._mlflow.log_metrics({k: v for k, v in row.items() if k != "step"}, step=self._step)

    def end(self, card: Card, files: Sequence[Path]) -> None:
        """The figures as metrics, the files as artifacts."""
        self._mlflow.log_metrics(_figures(card), step=self._step)
        for file in files:
            self._mlflow.log_artifact(str(file))

    def close(self, *, ended: bool) -> None:
        """Finished, or killed."""
        self._mlflow.end_run("FINISHED" if ended else "KILLED")


class WandB:
    """A run of Weights & Biases; their environment variables name server, project and mode."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._wandb = _imported("wandb", package="wandb")
        self.errors: tuple[type[Exception], ...] = (self._wandb.Error, OSError)
        self._run: Any = None

    @property
    def place(self) -> str:
        """The run's page; without a server, its folder."""
        return str(self._run.dir if self._run.offline else self._run.url)

    def start(self, record: Mapping[str, Any], course: Course) -> None:
        """The record as its configuration."""
        known = _known(self._folder, "wandb", course)
        self._folder.mkdir(exist_ok=True)
        self._run = self._wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            name=self._folder.name.removesuffix(".run"),
            id=known or secrets.token_hex(4),
            resume="allow",
            dir=str(self._folder),
            config=dict(record),
            settings=self._wandb.Settings(silent=True),
        )
        if known is None:
            _keep(self._folder, "wandb", self._run.id)
            for row in course.history:
                self.epoch(row)

    def epoch(self, row: Row) -> None:
        """All columns at the row's step."""
        self._run.log({k: v for k, v in row.items() if k != "step"}, step=row["step"])

    def end(self, card: Card, files: Sequence[Path]) -> None:
        """The figures as the run's summary, and the files."""
        self._run.summary.update(_figures(card))
        for file in files:  # what lies in the run's own folder is sent when it ends
            shutil.copy(file, self._run.dir)

    def close(self, *, ended: bool) -> None:
        """Sent, with an exit code of 1 where it has not ended."""
        self._run.finish(exit_code=0 if ended else 1)


def _imported(module: str, *, package: str) -> Any:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError:
        raise PackageError(
            f"--log {package}: needs the package {package}, which is not installed; install it "
            'with `pip install "convforge[log]"`'
        ) from None


def _known(folder: Path, name: str, course: Course) -> str | None:
    """The id of the tracker's run that a run in `folder` had, where it goes on."""
    if course.step == 0:
        return None
    return _ids(folder).get(name)


def _keep(folder: Path, name: str, run_id: str) -> None:
    folder.mkdir(exist_ok=True)
    record = {**_ids(folder), name: run_id}
    write_file(folder / "loggers.json", json.dumps(record, indent=2).encode())


def _ids(folder: Path) -> dict[str, str]:
    path = folder / "loggers.json"
    return dict(json.loads(path.read_text("utf-8"))) if path.exists() else {}


def _figures(card: Card) -> dict[str, float]:
    """{"test/top1": 0.97, …} of what was measured in the end."""
    return {
        f"{part}/{name}": value
        for part in _PARTS
        for name, value in card.metrics.get(part, {}).items()
        if isinstance(value, int | float)
    }


def _flat(record: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested fields under names with dots."""
    found: dict[str, Any] = {}
    for name, value in record.items():
        if isinstance(value, dict):
            found |= _flat(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = value
    return found
