"""The report of a training run: `report.html` in the run's folder, a page that needs nothing else.

how good → curves → confusion → classes → calibration → mistakes → data → cost → recipe → run

Everything but the first line is of the part "test", of "val" where there is none. All names are
escaped.
"""

from __future__ import annotations

import platform
from functools import partial
from html import escape
from importlib import metadata
from typing import TYPE_CHECKING, Any

import numpy as np

from convforge.errors import OutputError
from convforge.files import write_file
from convforge.html_page import html_page
from convforge.images.stored import take
from convforge.images.survey import sentences
from convforge.report.mistakes import mistakes_html
from convforge.report.plots import curves_svg
from convforge.report.sections import (
    STYLE,
    Answers,
    Calibrated,
    accuracy_figures,
    calibrated,
    calibration_html,
    classes_html,
    confusion_html,
    error_figure,
    figures_html,
    table_html,
)
from convforge.training.log import read_log

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from convforge.card import Card
    from convforge.training.cost import Cost, Loop
    from convforge.training.measuring import Measured

PACKAGES = ("numpy", "pillow", "safetensors", "scikit-learn", "torch", "torchvision")

RAISED = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
LOSSES = (
    "The loss of val is the cross-entropy without label smoothing, of the images that can be "
    "decoded, after an epoch; that of train is what is learnt from, with the recipe's smoothing "
    "and augmentation, while the network still changes."
)


def save_report(folder: Path, card: Card, measured: Measured) -> Path:
    """Write `report.html` into a run's folder, which is made; curves are of the log there.

    `card` and `measured` are what `train` gave. Raises PackageError where matplotlib is missing,
    OutputError where nothing can be written, DataError where a picture is no longer there.
    """
    history = read_log(folder) if "train" in card.metrics else []
    page = report_html(card, measured, history=history)
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{folder}: cannot be made ({error.strerror}); name another folder"
        ) from None
    write_file(folder / "report.html", page.encode("utf-8", "backslashreplace"))
    return folder / "report.html"


def report_html(card: Card, measured: Measured, *, history: Sequence[Mapping[str, float]]) -> str:
    """The page as one HTML text; `history` has the rows of the run's log. Raises PackageError."""
    answers = {name: _answers(measured, name) for name in measured.evaluations}
    shown = answers.get("test") or answers.get("val")
    found = None if shown is None else calibrated(shown, val=answers.get("val"))
    title = f"{card.network} on {card.data.get('uri', '')}"
    body = [_head(card, measured, found, title=title), _curves(history)]
    if shown is not None and found is not None:
        counts = np.bincount(measured.decoded["train"].part.labels, minlength=len(card.classes))
        body += [confusion_html(shown), classes_html(shown, train=counts.tolist())]
        body += [calibration_html(found, shown.name), mistakes_html(shown)]
    else:
        body += ["<p>No images were held out, so nothing says how good the network is.</p>"]
    body += [_data(card, measured)]
    body += [_cost(card, measured.cost)]
    body += [f'<div class="beside">{_recipe(card)}{_run(card)}</div>']
    return html_page(title, "".join(body), style=STYLE)


def _answers(measured: Measured, part: str) -> Answers:
    decoded = measured.decoded[part]
    return Answers(
        evaluation=measured.evaluations[part],
        names=decoded.part.names,
        labels=decoded.part.labels,
        logits=measured.logits[part],
        pictures=partial(take, decoded.pixels),
    )


def _head(card: Card, measured: Measured, found: Calibrated | None, *, title: str) -> str:
    figures = [figure for one in measured.evaluations.values() for figure in accuracy_figures(one)]
    figures += error_figure(found)
    figures.append(("time", f"{card.metrics['seconds']:,.1f} s", "reading and measuring included"))
    warning = card.metrics.get("train", {}).get("warning")
    start = f", from the weights {card.data['weights']}" if "weights" in card.data else ""
    lead = f"{len(card.classes)} classes, {card.trained}{start}."
    return (
        f'<h1>{escape(title)}</h1><p class="lead soft">{escape(lead)}</p>'
        + (f'<p class="warning">{escape(warning)}</p>' if warning else "")
        + figures_html(figures)
    )


def _curves(history: Sequence[Mapping[str, float]]) -> str:
    if not history:
        return ""
    panels = f'<h2>Curves</h2><div class="panels">{"".join(curves_svg(history))}</div>'
    return panels + (f"<p>{LOSSES}</p>" if any("val_loss" in row for row in history) else "")


def _data(card: Card, measured: Measured) -> str:
    rows = []
    for name, one in measured.decoded.items():
        counts = np.bincount(one.part.labels, minlength=len(card.classes))
        least, most = int(counts.argmin()), int(counts.argmax())
        rows.append(
            (
                name,
                f"{len(one.part):,}",
                f"{len(one.bad):,}",
                f"{card.classes[least]} ({counts[least]:,})",
                f"{card.classes[most]} ({counts[most]:,})",
            )
        )
    record = card.metrics["data"]
    found = "".join(f"<li>{escape(text)}</li>" for text in sentences(record))
    bad = [(one["part"], one["name"], one["reason"]) for one in record["listed"]]
    head = ("part", "images", "cannot be used", "smallest class", "largest class")
    return (
        f"<h2>Data</h2>{table_html(head, rows, numbers={1, 2})}"
        + (f"<ul>{found}</ul>" if found else "<p>No damaged image, none in two parts.</p>")
        + (table_html(("part", "cannot be used", "why"), bad) if bad else "")
    )


def _cost(card: Card, cost: Cost) -> str:
    loop, took = cost.loop, card.metrics["seconds"]
    head = card.metrics.get("head", {}).get("seconds")
    of_all = "all, of this command" if loop and loop.continued else "all"
    rows = [(of_all, f"{took:,.1f} s", "reading and measuring included")]
    rows += [] if head is None else [("last layer", f"{head:,.1f} s", "fitted to the frozen rest")]
    rows += [] if loop is None else _loop_rows(loop)
    rows += [
        ("parameters", f"{cost.parameters:,}", "of the network that predicts"),
        ("multiply-adds", f"{cost.macs:,}", f"an image of {_input(card)}"),
    ]
    if cost.training_macs is not None:
        note = "estimated: 3 x forward x images, all at full size, without validation"
        rows.append(("multiply-adds in all", _power(cost.training_macs), note))
    if cost.gpu:
        rows.append(("GPU", cost.gpu, ""))
    team = f"{cost.processes} processes of " if cost.processes > 1 else ""
    rows += [("processor", cost.processor, "")] if cost.processor else []
    rows.append(
        ("threads", f"{team}{cost.threads}", f"for arithmetic; cores to use: {cost.processors}")
    )
    if loop is not None:
        note = "on average in training, of the first process" if team else "on average in training"
        rows.append(("cores busy", f"{loop.busy:.2f}", note))
    return f"<h2>Time and cost</h2>{table_html(('', '', ''), rows)}"


def _loop_rows(loop: Loop) -> list[tuple[str, str, str]]:
    earlier = ", earlier commands too" if loop.continued else ""
    return [
        ("training", f"{loop.seconds:,.1f} s", f"validation and saving included{earlier}"),
        ("images", f"{loop.images:,}", f"in {loop.steps:,} steps"),
        ("images a second", f"{loop.images / loop.seconds:,.0f}", "of training"),
    ]


def _power(count: int) -> str:
    """As 5.04 x 10¹⁰, in one line."""
    mantissa, _, exponent = f"{count:.2e}".partition("e")
    raised = str(int(exponent)).translate(RAISED)
    return f"{mantissa} x 10{raised}".replace(" ", "\N{NO-BREAK SPACE}")


def _input(card: Card) -> str:
    return " x ".join(map(str, card.preprocess.input_shape))


def _recipe(card: Card) -> str:
    fields = {**card.recipe, **card.recipe["augment"]}
    rows = [(name, f"{value}") for name, value in fields.items() if name != "augment"]
    return f"<section><h2>Recipe</h2>{table_html(('', ''), rows)}</section>"


def _run(card: Card) -> str:
    facts: dict[str, Any] = {
        **card.metrics.get("train", {}).get("machine", {}),
        "data": card.data.get("uri", ""),
        "fingerprint of the data": card.data.get("fingerprint", ""),
        "input": _input(card),
        "convforge": card.convforge,
        "Python": platform.python_version(),
        **dict(_versions()),
    }
    rows = [(name, f"{value}") for name, value in facts.items()]
    return f"<section><h2>Run</h2>{table_html(('', ''), rows)}</section>"


def _versions() -> Iterable[tuple[str, str]]:
    for package in PACKAGES:
        try:
            yield package, metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
