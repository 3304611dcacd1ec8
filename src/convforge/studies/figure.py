"""The drawing of a study: its panels side by side, as SVG for its page and as PNG.

Colours of the series are Okabe and Ito's, which differ for the colour-blind too; a band is from the
lowest to the highest seed.
"""

from __future__ import annotations

import io
from itertools import cycle, islice
from typing import TYPE_CHECKING, Any

from convforge.report.plots import SOFT, blank_figure, percent, settings, to_svg

if TYPE_CHECKING:
    from collections.abc import Sequence

    from convforge.studies.study import Panel, Series

SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
PAPER, PRINTED = "#ffffff", {"ink": "#1c2733", "soft": "#5d6b78", "edge": "#dde3e9"}
PANEL_WIDTH, HEIGHT = 5.2, 4.0  # inches
DPI = 120


def figure_svg(panels: Sequence[Panel], *, label: str) -> str:
    """As an element of a page, which is light or dark as the page is.

    Raises PackageError where matplotlib is missing.
    """
    with settings():
        return to_svg(_draw(panels, soft=SOFT), label=label)


def figure_png(panels: Sequence[Panel]) -> bytes:
    """As a PNG file on white. Raises PackageError where matplotlib is missing."""
    ink, soft, edge = PRINTED["ink"], PRINTED["soft"], PRINTED["edge"]
    file = io.BytesIO()
    with settings(ink=ink, soft=soft, edge=edge):
        figure = _draw(panels, soft=soft)
        figure.savefig(file, format="png", dpi=DPI, facecolor=PAPER, metadata={"Software": None})
    return file.getvalue()


def _draw(panels: Sequence[Panel], *, soft: str) -> Any:
    figure = blank_figure(width=PANEL_WIDTH * len(panels), height=HEIGHT)
    courses: dict[str, Any] = {}  # panels over epochs are read against each other: one scale
    for place, panel in enumerate(panels, start=1):
        axes = figure.add_subplot(1, len(panels), place)
        first = courses.setdefault(panel.y, axes) if panel.x == "epoch" else axes
        if first is not axes:
            axes.sharey(first)
        _frame(axes, panel)
        bars = [one for one in panel.series if one.style == "bars"]
        for one in panel.series:
            if one in bars:
                _bars(axes, one, place=bars.index(one), of=len(bars), soft=soft)
            else:
                _points(axes, one)
        if panel.level is not None:
            axes.axhline(panel.level, color=soft, linewidth=1, linestyle=":")
        if len(bars) > 1:
            _leave_room(axes)
        if len(panel.series) > 1 or not panel.ticks:
            axes.legend(fontsize=9)
    return figure


def _frame(axes: Any, panel: Panel) -> None:
    axes.set(title=panel.title, xlabel=panel.x, ylabel=panel.y)
    if "x" in panel.log:
        places = sorted({x for one in panel.series for x in one.x})
        axes.set_xscale("log", base=2)
        axes.set_xticks(places, [f"{x:g}" for x in places])
        axes.minorticks_off()
    elif panel.x == "epoch":
        axes.xaxis.get_major_locator().set_params(integer=True)
    if "y" in panel.log:
        axes.set_yscale("log", base=2)
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:.3g}")
    if panel.share:
        axes.yaxis.set_major_formatter(percent)
    if panel.ticks:
        axes.set_xticks(range(len(panel.ticks)), panel.ticks)


def _points(axes: Any, one: Series) -> None:
    colour = _colour(one)
    if one.style == "points":
        axes.errorbar(
            one.x, one.y, _whiskers(one), color=colour, label=one.label, fmt="o", capsize=3
        )
        return
    dashed = one.style == "dashed"
    axes.plot(
        one.x,
        one.y,
        color=colour,
        label=one.label,
        linestyle="--" if dashed else "-",
        linewidth=1.2 if dashed else 2.0,
        marker="o" if len(one.x) <= 20 and not dashed else None,
        markersize=3,
    )
    if one.low:
        axes.fill_between(one.x, one.low, one.high, color=colour, alpha=0.15, linewidth=0)


def _bars(axes: Any, one: Series, *, place: int, of: int, soft: str) -> None:
    width = 0.8 / of
    x = [middle + (place - (of - 1) / 2) * width for middle in one.x]
    axes.bar(x, one.y, 0.92 * width, color=_colour(one), alpha=0.8, label=one.label)
    if one.low:
        axes.errorbar(x, one.y, _whiskers(one), fmt="none", ecolor=soft, capsize=3)


def _leave_room(axes: Any) -> None:
    """A fifth of the height above the highest bar, for the legend."""
    low, high = (axes.transScale.transform((1, y))[1] for y in axes.get_ylim())
    top = axes.transScale.inverted().transform((1, high + (high - low) / 5))[1]
    axes.set_ylim(top=top)


def _whiskers(one: Series) -> list[list[float]] | None:
    """How far below and above each point reach, as matplotlib wants them."""
    if not one.low:
        return None
    return [
        [y - low for y, low in zip(one.y, one.low, strict=True)],
        [high - y for y, high in zip(one.y, one.high, strict=True)],
    ]


def _colour(one: Series) -> str:
    return next(islice(cycle(SERIES), one.colour, None))
