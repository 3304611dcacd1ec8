"""Drawings for reports: curves of a training over the epochs, a reliability diagram.

SVG by matplotlib, to stand within a page whose CSS variables give the colours, so that it is light
or dark as the page is. Only words of this module are in it, none from outside.
"""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Any

from convforge.errors import PackageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractContextManager

    from convforge.calibration import Calibration

# Colours that stand for a variable of the page until the drawing is text.
INK, SOFT, EDGE, ACCENT, WARM = "#010203", "#010204", "#010205", "#010206", "#010207"
VARIABLES = {INK: "--ink", SOFT: "--soft", EDGE: "--edge", ACCENT: "--accent", WARM: "--warm"}
SETTINGS = {
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "convforge",  # the same drawing has the same names in it
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": SOFT,
    "axes.edgecolor": EDGE,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": EDGE,
    "grid.linewidth": 0.6,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
}


def curves_svg(history: Sequence[Mapping[str, float]]) -> list[str]:
    """Loss, shares of right answers and learning rate over the epochs, from the rows of a log.

    One drawing each. Raises PackageError where matplotlib is missing.
    """
    with settings():
        return [_curve_svg(history, title, series) for title, series in PANELS.items()]


def _curve_svg(
    history: Sequence[Mapping[str, float]], title: str, series: Mapping[str, tuple[str, str]]
) -> str:
    figure = blank_figure(width=3.7, height=3.1)
    axes = figure.add_subplot()
    axes.set_title(title)
    axes.set_xlabel("epoch")
    axes.xaxis.get_major_locator().set_params(integer=True)
    for column, (label, colour) in series.items():
        points = [(row["epoch"], row[column]) for row in history if column in row]
        if points:
            marker = "o" if len(points) <= 30 else None
            x, y = zip(*points, strict=True)
            axes.plot(x, y, color=colour, label=label, marker=marker, markersize=3)
    if "accuracy" in series:
        axes.yaxis.set_major_formatter(percent)
    if "accuracy" in series or len(axes.lines) > 1:
        axes.legend(loc="lower right" if "accuracy" in series else "best")
    return to_svg(figure, label=f"{title} over the epochs")


# Title of a panel: column of the log → its name there, colour.
PANELS = {
    "loss": {"loss": ("train, augmented", ACCENT), "val_loss": ("val", WARM)},
    "right answers": {"accuracy": ("train, augmented", ACCENT), "val_top1": ("val", WARM)},
    "learning rate": {"learning_rate": ("rate", SOFT)},
}


def reliability_svg(calibration: Calibration) -> str:
    """Accuracy by the probability of the answer, and below it how many answers there are.

    Raises PackageError where matplotlib is missing.
    """
    filled = [one for one in calibration.bins if one.count]
    middle = [(one.low + one.high) / 2 for one in filled]
    width = 0.92 / len(calibration.bins)
    with settings():
        figure = blank_figure(width=4.6, height=4.8)
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3.2, 1))
        upper.bar(middle, [one.accuracy for one in filled], width, color=ACCENT, alpha=0.75)
        upper.plot([0, 1], [0, 1], color=SOFT, linewidth=1, linestyle="--")
        upper.plot(
            [one.confidence for one in filled],
            [one.accuracy for one in filled],
            color=WARM,
            linestyle="none",
            marker="o",
            markersize=4,
        )
        upper.set(ylabel="right answers", ylim=(0, 1.02), xlim=(0, 1))
        upper.yaxis.set_major_formatter(percent)
        lower.bar(middle, [one.count for one in filled], width, color=SOFT, alpha=0.6)
        lower.set(xlabel="probability of the answer", ylabel="images")
        lower.xaxis.set_major_formatter(percent)
        lower.yaxis.get_major_locator().set_params(integer=True, nbins=3)
        return to_svg(figure, label="reliability diagram")


def percent(value: float, _place: int) -> str:
    """A share of an axis, as matplotlib's formatters are called."""
    return f"{100 * value:.4g} %"


def check_matplotlib() -> None:
    """Raise PackageError, before any work, where matplotlib is missing."""
    settings()


def settings(*, ink: str = INK, soft: str = SOFT, edge: str = EDGE) -> AbstractContextManager[None]:
    """Within, matplotlib draws by SETTINGS, in these colours.

    Raises PackageError where it is missing.
    """
    try:
        import matplotlib as mpl  # noqa: PLC0415  (optional, and slow to import)
    except ImportError:
        raise PackageError(
            "drawing needs matplotlib, which is not installed: pip install matplotlib (it comes "
            "with 'convforge[train]' and 'convforge[explain]')"
        ) from None
    given = {INK: ink, SOFT: soft, EDGE: edge}
    chosen = {
        name: given.get(value, value) if isinstance(value, str) else value
        for name, value in SETTINGS.items()
    }
    return mpl.rc_context(chosen)


def blank_figure(*, width: float, height: float) -> Any:
    """An empty figure, inches, that no window shows."""
    from matplotlib.figure import Figure  # noqa: PLC0415  (optional)

    return Figure(figsize=(width, height), layout="constrained")


def to_svg(figure: Any, *, label: str) -> str:
    """As an element of a page: no prologue, no address, no metadata, colours of the page."""
    text = io.StringIO()
    figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :].rstrip()
    svg = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r' xmlns(:\w+)?="[^"]*"| id="[\w.]+_\d+"', "", svg)
    for colour, variable in VARIABLES.items():
        svg = svg.replace(colour, f"var({variable})")
    return svg.replace("<svg", f'<svg role="img" aria-label="{label}"', 1)
