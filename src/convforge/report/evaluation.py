"""The report of an evaluation: one page about what a classifier or an artifact answered.

how good → corruptions → confusion → classes → calibration → mistakes → what was measured on what
"""

from __future__ import annotations

import platform
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from convforge.files import write_file
from convforge.html_page import html_page
from convforge.report.mistakes import mistakes_html
from convforge.report.sections import (
    STYLE,
    Answers,
    accuracy_figures,
    calibrated,
    calibration_html,
    classes_html,
    confusion_html,
    error_figure,
    figures_html,
    table_html,
)
from convforge.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from convforge.card import Card
    from convforge.evaluation import Answered, Evaluation
    from convforge.images.dataset import Split

LISTED = 100  # images that could not be used


def save_evaluation_report(
    path: Path,
    card: Card,
    answered: Answered,
    *,
    title: str,
    seconds: float,
    corrupted: Mapping[str, Evaluation] | None = None,
) -> None:
    """Write `evaluation_html` to a file. Raises OutputError where that cannot be done."""
    page = evaluation_html(card, answered, title=title, seconds=seconds, corrupted=corrupted)
    write_file(path, page.encode("utf-8", "backslashreplace"))


def evaluation_html(
    card: Card,
    answered: Answered,
    *,
    title: str,
    seconds: float,
    corrupted: Mapping[str, Evaluation] | None = None,
) -> str:
    """The page as one HTML text.

    `card` is the model's; `answered` is what `evaluate` gave, in `seconds`; `corrupted` has what
    the model answered on corrupted images, by what was done to them. Raises PackageError where
    matplotlib is missing, DataError where a picture is no longer there.
    """
    answers = _answers(answered)
    found = calibrated(answers, val=None)
    evaluation = answered.evaluation
    took = ("time", f"{seconds:,.1f} s", f"{evaluation.count / seconds:,.0f} images a second")
    figures = [*accuracy_figures(evaluation), *error_figure(found), took]
    lead = f"{card.network}, {len(card.classes)} classes."
    body = [
        f'<h1>{escape(title)}</h1><p class="lead soft">{escape(lead)}</p>{figures_html(figures)}',
        _corruptions(evaluation, corrupted or {}),
        confusion_html(answers),
        classes_html(answers),
    ]
    if found is not None:
        body += [calibration_html(found, answers.name), mistakes_html(answers)]
    body += [_bad(evaluation), _facts(card, evaluation)]
    return html_page(title, "".join(body), style=STYLE)


def _answers(answered: Answered) -> Answers:
    smallest = np.finfo(np.float32).tiny
    return Answers(
        evaluation=answered.evaluation,
        names=answered.part.names,
        labels=answered.part.labels,
        logits=np.log(np.maximum(answered.probabilities, smallest)),
        pictures=lambda rows: _pictures(answered.part, rows),
    )


def _pictures(part: Split, rows: NDArray[np.int64]) -> Iterator[NDArray[np.uint8]]:
    return (part.load(row) for row in rows.tolist())


def _corruptions(clean: Evaluation, corrupted: Mapping[str, Evaluation]) -> str:
    if not corrupted:
        return ""
    rows = [("none", f"{clean.top1:.2%}", "")]
    rows += [
        (name, f"{one.top1:.2%}", f"{100 * (one.top1 - clean.top1):+.2f}")
        for name, one in corrupted.items()
    ]
    head = ("corruption", "top-1", "points")
    return f"<h2>Corrupted images</h2>{table_html(head, rows, numbers={1, 2})}"


def _bad(evaluation: Evaluation) -> str:
    if not evaluation.bad:
        return ""
    rows = [(one.name, one.reason) for one in evaluation.bad[:LISTED]]
    return (
        f"<h2>Images that cannot be used</h2><p>{len(evaluation.bad):,} of "
        f"{evaluation.count:,}; each counts as a wrong answer.</p>"
        f"{table_html(('image', 'why'), rows)}"
    )


def _facts(card: Card, evaluation: Evaluation) -> str:
    facts = {
        "data": evaluation.uri,
        "part": evaluation.split,
        "network": card.network,
        "input": " x ".join(map(str, card.preprocess.crop)),
        "trained on": card.data.get("uri", ""),
        "fingerprint of that data": card.data.get("fingerprint", ""),
        "trained with convforge": card.convforge,
        "measured with convforge": __version__,
        "Python": platform.python_version(),
        "numpy": np.__version__,
    }
    rows = [(name, f"{value}") for name, value in facts.items() if value]
    section = f"<section><h2>What was measured</h2>{table_html(('', ''), rows)}</section>"
    return f'<div class="beside">{section}</div>'
