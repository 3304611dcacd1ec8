"""Loggers: what is told of a run while it goes on, to whoever asks, beside its own `log.csv`.

    start(record, course) → epoch(row) … → end(card, files) → close

`Logger` is the interface, `trackers` has those that go by a name, `Loggers` is several as one.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any, Protocol

from convforge.errors import OutputError
from convforge.training.course import Course
from convforge.training.trackers import MLflow, TensorBoard, WandB

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from convforge.card import Card


class Logger(Protocol):
    """What is told of a run. One that fails with one of its `errors` is told no more."""

    errors: tuple[type[Exception], ...]

    @property
    def place(self) -> str:
        """Where the run can be seen."""

    def start(self, record: Mapping[str, Any], course: Course) -> None:
        """A run begins, or goes on where `course` is.

        `record` is plain JSON: "network", "arguments", "recipe", and more where it is known.
        """

    def epoch(self, row: Mapping[str, Any]) -> None:
        """An epoch has ended; `row` is that of the log."""

    def end(self, card: Card, files: Sequence[Path]) -> None:
        """The classifier is measured; `files` are worth keeping beside its figures."""

    def close(self, *, ended: bool) -> None:
        """Nothing more comes: of a run that has `ended`, or that was interrupted or has failed."""


class Loggers:
    """Several loggers as one.

    `said` has a sentence of each once closed: where its run is, or why it was told no more.
    """

    errors: tuple[type[Exception], ...] = ()

    def __init__(self, named: Mapping[str, Logger]) -> None:
        self._named = dict(named)
        self._running: dict[str, Logger] = {}
        self._started = False
        self.said: list[str] = []

    @property
    def place(self) -> str:
        """All of them."""
        return ", ".join(one.place for one in self._named.values())

    def start(self, record: Mapping[str, Any], course: Course) -> None:
        """Raises OutputError where one cannot be reached."""
        self._started = True
        for name, one in self._named.items():
            try:
                one.start(record, course)
            except one.errors as error:
                raise OutputError(f"--log {name}: {_words(error)}") from None
            self._running[name] = one

    def epoch(self, row: Mapping[str, Any]) -> None:
        """To all that have not failed."""
        self._tell(lambda one: one.epoch(row))

    def end(self, card: Card, files: Sequence[Path]) -> None:
        """To all that have not failed; a run without epochs, of a last layer alone, starts here."""
        if not self._started:
            fields = {"network": card.network, "arguments": card.arguments, "recipe": card.recipe}
            try:
                self.start(fields, Course())
            except OutputError as error:  # the classifier is there already
                self.said.append(str(error))
        self._tell(lambda one: one.end(card, files))

    def close(self, *, ended: bool) -> None:
        """To all that have not failed."""
        self.said += [f"{name}: {one.place}" for name, one in self._running.items()]
        self._tell(lambda one: one.close(ended=ended))

    def _tell(self, what: Callable[[Logger], None]) -> None:
        for name, one in list(self._running.items()):
            try:
                what(one)
            except one.errors as error:
                self.said.append(f"{name} was told no more: {_words(error)}")
                del self._running[name]


@contextlib.contextmanager
def open_loggers(names: Sequence[str], folder: Path) -> Iterator[Loggers]:
    """The loggers of these names, for a run in `folder`; closed afterwards.

    In a team the first process's log. Raises OutputError for an unknown name, PackageError where
    the package of one is not installed.
    """
    unknown = [name for name in names if name not in LOGGERS]
    if unknown:
        raise OutputError(f"--log {unknown[0]}: expected one of {', '.join(LOGGERS)}")
    first = os.environ.get("RANK", "0") == "0"
    loggers = Loggers({name: LOGGERS[name](folder) for name in dict.fromkeys(names) if first})
    ended = False
    try:
        yield loggers
        ended = True
    finally:
        loggers.close(ended=ended)


LOGGERS: dict[str, Callable[[Path], Logger]] = {
    "tensorboard": TensorBoard,
    "mlflow": MLflow,
    "wandb": WandB,
}


def _words(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
