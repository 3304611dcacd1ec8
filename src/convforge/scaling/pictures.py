"""Pictures of a search for its report: accuracy, and multiply-adds, against measured milliseconds.

Every candidate is a point with a letter, which its table explains; the line is the Pareto front.
"""

from __future__ import annotations

import string
from typing import TYPE_CHECKING, Any

from convforge.training.plots import (
    ACCENT,
    EDGE,
    INK,
    SOFT,
    WARM,
    as_svg,
    drawing_settings,
    new_figure,
    percent,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Rows = Sequence[Mapping[str, Any]]


def letters(count: int) -> list[str]:
    """A, B, … Z, AA, AB, …: a short name for each of so many candidates."""
    alphabet = string.ascii_uppercase
    return [
        alphabet[index] if index < 26 else alphabet[index // 26 - 1] + alphabet[index % 26]
        for index in range(count)
    ]


def picture(record: Mapping[str, Any]) -> str:
    """Both pictures side by side, of a search's record. Raises PackageError without matplotlib."""
    rows = record["candidates"]
    named = list(zip(letters(len(rows)), rows, strict=True))
    limit = record["budget"]["max_ms"]
    with drawing_settings():
        figure = new_figure(width=11, height=4.4)
        left, right = figure.subplots(1, 2)
        trained = [(letter, row) for letter, row in named if row["scores"]]
        left.set(title="right answers after the first rung", xlabel="measured ms")
        left.yaxis.set_major_formatter(percent)
        front = [row for row in rows if row["name"] in record["front"]]
        front.sort(key=lambda row: row["ms"])
        left.plot(
            [row["ms"] for row in front],
            [row["scores"][0] for row in front],
            color=ACCENT,
            linewidth=1.2,
        )
        _points(left, trained, value=lambda row: row["scores"][0])
        right.set(title="million multiply-adds", xlabel="measured ms")
        _points(right, named, value=lambda row: row["macs"] / 1e6)
        for axes in (left, right):
            if limit is not None:
                axes.axvline(limit, color=WARM, linewidth=1, linestyle="--")
            axes.margins(0.12)
        return as_svg(figure, label="candidates by their measured milliseconds")


def _points(axes: Any, named: Sequence[tuple[str, Mapping[str, Any]]], *, value: Any) -> None:
    for letter, row in named:
        won = row["state"] == "winner"
        fits = bool(row["scores"]) or won
        axes.plot(
            [row["ms"]],
            [value(row)],
            marker="o",
            markersize=9 if won else 6,
            linestyle="none",
            color=WARM if won else ACCENT if fits else EDGE,
            markeredgecolor=SOFT,
        )
        axes.annotate(
            letter,
            (row["ms"], value(row)),
            textcoords="offset points",
            xytext=(7, 4),
            color=INK,
            fontweight="bold" if won else "normal",
        )
