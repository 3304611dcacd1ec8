"""Sections that every report has, each a text of HTML; all names in them are escaped.

what is taken for what → classes → calibration → mistakes (`mistakes`)
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from convforge.calibration import Calibration, Temperature, calibrate, fit_temperature
from convforge.evaluation import wilson_interval
from convforge.report.plots import reliability_svg

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    from convforge.evaluation import ClassScore, Evaluation

MATRIX_CLASSES = 30  # of more, the pairs that are confused most
PAIRS = 30

STYLE = """
:root{--warm:#c2571a}@media (prefers-color-scheme:dark){:root{--warm:#f0a070}}
.tall{max-height:48rem;overflow:auto}.tall thead th{position:sticky;top:0}
.wide svg{width:100%;padding:.5rem}
.panels{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,280px),1fr));gap:.4rem;
padding:.5rem;border:1px solid var(--edge);border-radius:8px}.panels svg{width:100%;height:auto}
.fit{display:inline-block;max-width:100%}.fit table{width:auto}
.beside{display:flex;flex-wrap:wrap;gap:1.2rem;align-items:flex-start}
.beside>*{flex:0 1 auto;min-width:0;max-width:100%}.beside td+.name{overflow-wrap:anywhere}
.matrix .name{max-width:12rem;white-space:nowrap;overflow:hidden;text-overflow:ellipsis}
.beside svg{width:min(100%,420px)}
.matrix td{min-width:2.4rem;text-align:center}.matrix td,.matrix th{padding:.25rem .45rem}
.matrix .off{background:color-mix(in srgb,var(--warm) var(--share),transparent)}
.matrix .on{background:color-mix(in srgb,var(--accent) var(--share),transparent)}
.matrix thead th{max-width:7rem;overflow:hidden;text-overflow:ellipsis;text-align:center}
.name{min-width:5rem;max-width:34rem;white-space:normal;overflow-wrap:break-word}
.matrix .name{min-width:0}@media (max-width:640px){thead th{white-space:normal}}
.pictures{display:grid;grid-template-columns:repeat(auto-fill,minmax(130px,1fr));gap:.7rem}
.pictures figure{margin:0;padding:.5rem;border:1px solid var(--edge);border-radius:8px;
background:var(--tint);font-size:.8rem;overflow-wrap:anywhere}
.pictures img{display:block;width:100%;height:110px;object-fit:contain;margin-bottom:.4rem}
.pictures img.small{image-rendering:pixelated}
.warning{padding:.6rem .8rem;border-left:4px solid var(--warm);background:var(--tint)}
"""


@dataclass(frozen=True, kw_only=True, eq=False)
class Answers:
    """What a model answered on one part, as it is shown.

    `logits` float32 [N, K], up to a constant a row, and `labels` int64 [N] are of the images
    `names`; `pictures(rows)` reads some, uint8 [h, w, 1 or 3] each. `evaluation` also counts those
    that could not be used.
    """

    evaluation: Evaluation
    names: Sequence[str]
    labels: NDArray[np.int64]
    logits: NDArray[np.float32]
    pictures: Callable[[NDArray[np.int64]], Iterable[NDArray[np.uint8]]]

    @property
    def name(self) -> str:
        """Of the part."""
        return self.evaluation.split


@dataclass(frozen=True, kw_only=True)
class Calibrated:
    """`shown` is of the part that is told about, `scaled` with the temperature that "val" gave."""

    shown: Calibration
    scaled: Calibration | None
    temperature: Temperature | None


def calibrated(answers: Answers, *, val: Answers | None) -> Calibrated | None:
    """How calibrated the answers are, also by the temperature that `val` gives, where it is there.

    None where no image could be used.
    """
    if not len(answers.labels):
        return None
    temperature = None if val is None else fit_temperature(val.logits, val.labels)
    scaled = None
    if temperature is not None:
        scaled = calibrate(answers.logits, answers.labels, temperature=temperature.value)
    shown = calibrate(answers.logits, answers.labels)
    return Calibrated(shown=shown, scaled=scaled, temperature=temperature)


def figures_html(figures: Iterable[tuple[str, str, str]]) -> str:
    """Figures in boxes: what, how much, and a note below."""
    boxes = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}<small>{escape(note)}</small></dd></div>"
        for name, value, note in figures
    )
    return f'<dl class="figures">{boxes}</dl>'


def accuracy_figures(evaluation: Evaluation) -> list[tuple[str, str, str]]:
    """Figures of how many answers are right."""
    low, high = evaluation.interval
    note = f"{100 * low:.2f} to {high:.2%}, 95 % interval, {evaluation.count:,} images"
    top5 = "" if evaluation.top5 is None else f"; top-5 {evaluation.top5:.2%}"
    return [
        (f"top-1 on {evaluation.split}", f"{evaluation.top1:.2%}", note),
        (
            f"F1 on {evaluation.split}",
            f"{evaluation.macro_f1:.2%}",
            f"mean over the classes{top5}",
        ),
    ]


def error_figure(found: Calibrated | None) -> list[tuple[str, str, str]]:
    """The figure of the calibration error, where there is one."""
    if found is None:
        return []
    return [("calibration error", f"{found.shown.ece:.2%}", "expected, 15 bins")]


def confusion_html(answers: Answers) -> str:
    """What is taken for what: a matrix, of over MATRIX_CLASSES classes the pairs confused most."""
    evaluation, part = answers.evaluation, answers.name
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
        f"</p>{table_html(('true class', 'answer', 'images'), found, numbers={2})}"
    )


def classes_html(answers: Answers, *, train: Sequence[int] | None = None) -> str:
    """Precision, recall and F1 of every class; `train` has its images to train on."""
    evaluation = answers.evaluation
    right = np.diagonal(evaluation.confusion).tolist()
    head = ["class", answers.name, "precision", "recall", "95 % interval", "F1"]
    rows = [[one.label, *_score_cells(one, right[k])] for k, one in enumerate(evaluation.scores)]
    if train is not None:
        head.insert(1, "train")
        for row, count in zip(rows, train, strict=True):
            row.insert(1, f"{count:,}")
    return f"<h2>Classes</h2>{table_html(head, rows, numbers=set(range(1, len(head))))}"


def _score_cells(score: ClassScore, right: int) -> tuple[str, ...]:
    low, high = wilson_interval(right, score.support)
    interval = f"{100 * low:.1f} to {high:.1%}" if score.support else ""
    shares = ["" if x is None else f"{x:.1%}" for x in (score.precision, score.recall, score.f1)]
    return f"{score.support:,}", shares[0], shares[1], interval, shares[2]


def calibration_html(calibrated: Calibrated, part: str) -> str:
    """Whether the probabilities can be believed."""
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
        f"{reliability_svg(calibrated.shown)}<div>{table_html(head, rows, numbers={1, 2, 3})}"
        f"<p>{words}</p></div></div>"
    )


def _calibration_cells(calibration: Calibration) -> tuple[str, str]:
    return f"{calibration.ece:.2%}", f"{calibration.nll:.4f}"


def table_html(
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
