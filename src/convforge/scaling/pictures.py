"""Pictures of a search for its report: accuracy, and multiply-adds, against measured milliseconds.

Every candidate is a point with a letter, which its table explains; the line is the Pareto front.
"""

from __future__ import annotations

import string
from typing import TYPE_CHECKING, Any

from convforge.report.plots import (
    ACCENT,
    EDGE,
    INK,
    SOFT,
    WARM,
    blank_figure,
    percent,
    settings,
    to_svg,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Named = tuple[str, Mapping[str, Any]]  # a letter and a row of the record


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
    trained = [(letter, row) for letter, row in named if row["scores"]]
    with settings():
        figure = blank_figure(width=11, height=4.4)
        panels = figure.subplots(1, 2 if trained else 1, squeeze=False)[0].tolist()
        if trained:
            _accuracy(panels[0], trained, front=record["front"])
        panels[-1].set(title="million multiply-adds", xlabel="measured ms")
        _points(panels[-1], named, value=lambda row: row["macs"] / 1e6)
        for axes in panels:
            if limit is not None:
                axes.axvline(limit, color=WARM, linewidth=1, linestyle="--")
            axes.margins(0.12)
        return to_svg(figure, label="candidates by their measured milliseconds")


def _accuracy(axes: Any, trained: Sequence[Named], *, front: Sequence[str]) -> None:
    axes.set(title="right answers after the first rung", xlabel="measured ms")
    axes.yaxis.set_major_formatter(percent)
    rows = sorted(
        (row for _, row in trained if row["name"] in front), key=lambda row: float(row["ms"])
    )
    axes.plot(
        [row["ms"] for row in rows],
        [row["scores"][0] for row in rows],
        color=ACCENT,
        linewidth=1.2,
    )
    _points(axes, trained, value=lambda row: row["scores"][0])


def _points(
    axes: Any, named: Sequence[Named], *, value: Callable[[Mapping[str, Any]], float]
) -> None:
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
