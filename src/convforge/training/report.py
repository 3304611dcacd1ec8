"""The report of a training run: `report.html` in the run's folder, a page that needs nothing else.

how good → curves → confusion → classes → calibration → mistakes → data → recipe → run

Everything but the first line is of the part "test", of "val" where there is none. All names are
escaped.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass
from html import escape
from importlib import metadata
from typing import TYPE_CHECKING, Any

import numpy as np

from convforge.calibration import Calibration, Temperature, calibrate, fit_temperature
from convforge.errors import OutputError
from convforge.evaluation import wilson_interval
from convforge.files import write_file
from convforge.html_page import html_page
from convforge.images.survey import sentences
from convforge.training.log import read_log
from convforge.training.mistakes import mistakes_html
from convforge.training.plots import curves_svg, reliability_svg

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from convforge.card import Card
    from convforge.evaluation import ClassScore, Evaluation
    from convforge.training.measuring import Measured

MATRIX_CLASSES = 30  # of more, the pairs that are confused most
PAIRS = 30
PACKAGES = ("numpy", "pillow", "safetensors", "scikit-learn", "torch", "torchvision")

STYLE = """
:root{--warm:#c2571a}@media (prefers-color-scheme:dark){:root{--warm:#f0a070}}
.tall{max-height:48rem;overflow:auto}.tall thead th{position:sticky;top:0}
.wide svg{width:100%;padding:.5rem}.fit{display:inline-block;max-width:100%}.fit table{width:auto}
.beside{display:flex;flex-wrap:wrap;gap:1.2rem;align-items:flex-start}.beside>*{flex:0 1 auto}
.matrix .name{max-width:12rem;white-space:nowrap;overflow:hidden;text-overflow:ellipsis}
.beside svg{width:min(100%,420px)}
.matrix td{min-width:2.4rem;text-align:center}.matrix td,.matrix th{padding:.25rem .45rem}
.matrix .off{background:color-mix(in srgb,var(--warm) var(--share),transparent)}
.matrix .on{background:color-mix(in srgb,var(--accent) var(--share),transparent)}
.matrix thead th{max-width:7rem;overflow:hidden;text-overflow:ellipsis;text-align:center}
.name{max-width:34rem;white-space:normal;overflow-wrap:break-word}
.pictures{display:grid;grid-template-columns:repeat(auto-fill,minmax(130px,1fr));gap:.7rem}
.pictures figure{margin:0;padding:.5rem;border:1px solid var(--edge);border-radius:8px;
background:var(--tint);font-size:.8rem;overflow-wrap:anywhere}
.pictures img{display:block;width:100%;height:110px;object-fit:contain;margin-bottom:.4rem}
.pictures img.small{image-rendering:pixelated}
.warning{padding:.6rem .8rem;border-left:4px solid var(--warm);background:var(--tint)}
"""


@dataclass(frozen=True, kw_only=True)
class _Calibrated:
    """`shown` is of the part that is told about, `scaled` with the temperature that "val" gave."""

    shown: Calibration
    scaled: Calibration | None
    temperature: Temperature | None


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
    part = next((name for name in ("test", "val") if name in measured.evaluations), None)
    title = f"{card.network} on {card.data.get('uri', '')}"
    calibrated = None if part is None else _calibrated(measured, part)
    body = [_head(card, measured, calibrated, title=title), _curves(history)]
    if part is not None and calibrated is not None:
        body += [_confusion(measured.evaluations[part], part), _classes(card, measured, part)]
        body += [_calibration(calibrated, part), mistakes_html(measured, part)]
    else:
        body += ["<p>No images were held out, so nothing says how good the network is.</p>"]
    body += [_data(card, measured)]
    body += [f'<div class="beside">{_recipe(card)}{_run(card)}</div>']
    return html_page(title, "".join(body), style=STYLE)


def _calibrated(measured: Measured, part: str) -> _Calibrated:
    labels = {name: measured.decoded[name].part.labels for name in measured.logits}
    temperature = None
    if "val" in labels:
        temperature = fit_temperature(measured.logits["val"], labels["val"])
    logits = measured.logits[part]
    scaled = None
    if temperature is not None:
        scaled = calibrate(logits, labels[part], temperature=temperature.value)
    return _Calibrated(
        shown=calibrate(logits, labels[part]), scaled=scaled, temperature=temperature
    )


def _head(card: Card, measured: Measured, calibrated: _Calibrated | None, *, title: str) -> str:
    figures = []
    for name, one in measured.evaluations.items():
        low, high = one.interval
        note = f"{100 * low:.2f} to {high:.2%}, 95 % interval, {one.count:,} images"
        figures.append((f"top-1 on {name}", f"{one.top1:.2%}", note))
        top5 = "" if one.top5 is None else f"; top-5 {one.top5:.2%}"
        figures.append((f"F1 on {name}", f"{one.macro_f1:.2%}", f"mean over the classes{top5}"))
    if calibrated is not None:
        figures.append(("calibration error", f"{calibrated.shown.ece:.2%}", "expected, 15 bins"))
    figures.append(("time", f"{card.metrics['seconds']:,.1f} s", "reading and measuring included"))
    warning = card.metrics.get("train", {}).get("warning")
    epochs = f"{card.recipe['epochs']} epochs" if "train" in card.metrics else "the last layer"
    start = f", from the weights {card.data['weights']}" if "weights" in card.data else ""
    lead = f"{len(card.classes)} classes, {epochs}{start}."
    return (
        f'<h1>{escape(title)}</h1><p class="lead soft">{escape(lead)}</p>'
        + (f'<p class="warning">{escape(warning)}</p>' if warning else "")
        + '<dl class="figures">'
        + "".join(
            f"<div><dt>{name}</dt><dd>{value}<small>{note}</small></dd></div>"
            for name, value, note in figures
        )
        + "</dl>"
    )


def _curves(history: Sequence[Mapping[str, float]]) -> str:
    if not history:
        return ""
    return f'<h2>Curves</h2><div class="wide">{curves_svg(history)}</div>'


def _confusion(evaluation: Evaluation, part: str) -> str:
    if len(evaluation.classes) > MATRIX_CLASSES:
        return _pairs(evaluation, part)
    support = np.maximum(evaluation.confusion.sum(axis=1), 1)
    names = [escape(name) for name in evaluation.classes]
    rows = []
    for k, row in enumerate(evaluation.confusion.tolist()):
        cells = "".join(
            f'<td class="{"on" if j == k else "off"}" style="--share:{_shade(n / support[k])}" '
            f'title="{names[k]} taken for {names[j]}: {n}">{n or ""}</td>'
            for j, n in enumerate(row)
        )
        rows.append(f'<tr><th scope="row" class="name">{names[k]}</th>{cells}</tr>')
    head = "".join(f'<th scope="col" title="{name}">{name}</th>' for name in names)
    return (
        f"<h2>What is taken for what</h2><p>Images of {part}: a row is the true class, a column "
        'the answer.</p><div class="wide fit"><table class="matrix"><thead><tr><th></th>'
        f"{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _shade(share: float) -> str:
    """How strong a cell's colour is; the square root, so that single images are seen."""
    return f"{75 * share**0.5:.0f}%"


def _pairs(evaluation: Evaluation, part: str) -> str:
    counts = evaluation.confusion.copy()
    np.fill_diagonal(counts, 0)
    order = np.argsort(-counts, axis=None, kind="stable")[:PAIRS]
    size = len(evaluation.classes)
    found = [
        (
            evaluation.classes[cell // size],
            evaluation.classes[cell % size],
            f"{counts.flat[cell]:,}",
        )
        for cell in order.tolist()
        if counts.flat[cell]
    ]
    if not found:
        return f"<h2>What is taken for what</h2><p>No image of {part} is taken for another.</p>"
    return (
        f"<h2>What is taken for what</h2><p>The pairs of classes of {part} that are confused most."
        f"</p>{_table(('true class', 'answer', 'images'), found, numbers={2})}"
    )


def _classes(card: Card, measured: Measured, part: str) -> str:
    evaluation = measured.evaluations[part]
    train = np.bincount(measured.decoded["train"].part.labels, minlength=len(card.classes))
    right = np.diagonal(evaluation.confusion).tolist()
    rows = [
        (score.label, f"{train[k]:,}", *_score_cells(score, right[k]))
        for k, score in enumerate(evaluation.scores)
    ]
    head = ("class", "train", part, "precision", "recall", "95 % interval", "F1")
    return f"<h2>Classes</h2>{_table(head, rows, numbers=set(range(1, 7)))}"


def _score_cells(score: ClassScore, right: int) -> tuple[str, ...]:
    low, high = wilson_interval(right, score.support)
    interval = f"{100 * low:.1f} to {high:.1%}" if score.support else ""
    shares = ["" if x is None else f"{x:.1%}" for x in (score.precision, score.recall, score.f1)]
    return f"{score.support:,}", shares[0], shares[1], interval, shares[2]


def _calibration(calibrated: _Calibrated, part: str) -> str:
    rows = [(f"{part}, as it is", "1", *_calibration_cells(calibrated.shown))]
    words = ""
    if calibrated.temperature is not None and calibrated.scaled is not None:
        value = f"{calibrated.temperature.value:.3g}"
        if part != "val":
            rows.append(("val, as it is", "1", *_calibration_cells(calibrated.temperature.before)))
            rows.append(("val, scaled", value, *_calibration_cells(calibrated.temperature.after)))
        rows.append((f"{part}, scaled", value, *_calibration_cells(calibrated.scaled)))
        words = (
            "The temperature, by which logits are divided, is the one with the highest "
            "likelihood on val. The classifier is saved without it."
        )
        if calibrated.temperature.bounded:
            words += " It is the end of the range that was searched: no temperature is best."
    head = ("part", "temperature", "calibration error", "negative log-likelihood")
    return (
        f"<h2>Calibration</h2><p>How many of the answers on {part} are right, by the probability "
        "that they were given; on the dashed line it is what it says. The error is the mean "
        'distance (Guo et al. 2017).</p><div class="beside">'
        f"{reliability_svg(calibrated.shown)}<div>{_table(head, rows, numbers={1, 2, 3})}"
        f"<p>{words}</p></div></div>"
    )


def _calibration_cells(calibration: Calibration) -> tuple[str, str]:
    return f"{calibration.ece:.2%}", f"{calibration.nll:.4f}"


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
        f"<h2>Data</h2>{_table(head, rows, numbers={1, 2})}"
        + (f"<ul>{found}</ul>" if found else "<p>No damaged image, none in two parts.</p>")
        + (_table(("part", "cannot be used", "why"), bad) if bad else "")
    )


def _recipe(card: Card) -> str:
    fields = {**card.recipe, **card.recipe["augment"]}
    rows = [(name, f"{value}") for name, value in fields.items() if name != "augment"]
    return f"<section><h2>Recipe</h2>{_table(('', ''), rows)}</section>"


def _run(card: Card) -> str:
    facts: dict[str, Any] = {
        "seconds": card.metrics["seconds"],
        **card.metrics.get("train", {}).get("machine", {}),
        "data": card.data.get("uri", ""),
        "fingerprint of the data": card.data.get("fingerprint", ""),
        "input": " x ".join(map(str, card.preprocess.crop)),
        "convforge": card.convforge,
        "Python": platform.python_version(),
        **dict(_versions()),
    }
    rows = [(name, f"{value}") for name, value in facts.items()]
    return f"<section><h2>Run</h2>{_table(('', ''), rows)}</section>"


def _versions() -> Iterable[tuple[str, str]]:
    for package in PACKAGES:
        try:
            yield package, metadata.version(package)
        except metadata.PackageNotFoundError:
            continue


def _table(
    head: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: set[int] | None = None
) -> str:
    """Texts as a table; the columns `numbers` are set to the right."""

    def line(cells: Sequence[str], tag: str) -> str:
        kinds = ["number" if column in (numbers or ()) else "name" for column in range(len(cells))]
        return "".join(
            f'<{tag} class="{kind}">{escape(cell)}</{tag}>'
            for kind, cell in zip(kinds, cells, strict=True)
        )

    top = f"<thead><tr>{line(head, 'th')}</tr></thead>" if any(head) else ""
    body = "".join(f"<tr>{line(row, 'td')}</tr>" for row in rows)
    return f'<div class="wide tall fit"><table>{top}<tbody>{body}</tbody></table></div>'
