"""The log of a run: one row an epoch, as CSV."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any

from convforge.files import write_file

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

COLUMNS = ("epoch", "step", "seconds", "learning_rate", "loss", "accuracy", "val_top1", "val_loss")
END = "end"


def write_log(folder: Path, history: Sequence[Mapping[str, Any]]) -> None:
    """Write `log.csv` in one piece; a column without a value in an epoch stays empty there.

    So does `val_loss` in epochs of a state that was written before there was one.

    A run that a time limit has given another end has the step that it ends with in a column more.
    """
    columns = (*COLUMNS, END) if any(END in row for row in history) else COLUMNS
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    write_file(folder / "log.csv", text.getvalue().encode())


def read_log(folder: Path) -> list[dict[str, float]]:
    """The rows of `log.csv`, in which an empty column is left out; none where there is no log."""
    path = folder / "log.csv"
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [
            {name: float(value) for name, value in row.items() if value}
            for row in csv.DictReader(file)
        ]
