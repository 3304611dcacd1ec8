import io
import re
import sys

import numpy as np
import pytest
from PIL import Image

from convforge.errors import PackageError
from convforge.report.plots import settings
from convforge.studies.figure import PANEL_WIDTH, SERIES, _draw, figure_png, figure_svg
from convforge.studies.study import Panel, Series


def test_the_drawing_for_the_page_has_its_colours_and_names_every_series(report):
    svg = figure_svg(report.result.panels, label="a figure")
    assert svg.startswith('<svg role="img" aria-label="a figure"')
    assert not re.search(r"https?:|#0102|<metadata", svg)
    for word in ("curves", "bars", "points", ">a<", ">b<", ">c<", ">p<", "50 %", ">two<"):
        assert word in svg
    for colour in SERIES[:3]:
        assert colour in svg
    assert figure_svg(report.result.panels, label="a figure") == svg


def test_the_picture_is_on_white_with_all_colours_and_the_same_each_time(report):
    content = figure_png(report.result.panels)
    picture = Image.open(io.BytesIO(content)).convert("RGB")
    assert picture.size[0] == round(PANEL_WIDTH * 3 * 120)
    pixels = np.asarray(picture)
    assert (pixels[0, 0] == 255).all()
    for colour in SERIES[:2]:
        wanted = [int(colour[at : at + 2], 16) for at in (1, 3, 5)]
        assert (np.abs(pixels.astype(int) - wanted).sum(-1) < 60).sum() > 50, colour
    assert figure_png(report.result.panels) == content


def test_panels_over_epochs_have_one_scale():
    courses = [
        Panel(title=title, x="epoch", y="error", series=(Series(label="a", x=(1, 2), y=(0, top)),))
        for title, top in (("low", 1), ("high", 50))
    ]
    with settings():
        low, high = _draw(courses, soft="#000000").axes
    assert low.get_ylim() == high.get_ylim()
    assert high.get_ylim()[1] > 50


@pytest.mark.parametrize("log", ["", "y"])
def test_bars_leave_room_for_the_legend(log):
    series = [Series(label=name, x=(0, 1), y=(2.0, 21.5), style="bars") for name in ("a", "b")]
    panel = Panel(title="t", x="", y="times", log=log, ticks=("one", "two"), series=tuple(series))
    with settings():
        figure = _draw([panel], soft="#000000")
        figure.canvas.draw()
        (axes,) = figure.axes
        legend = axes.get_legend().get_window_extent()
        highest = axes.transData.transform((1, 21.5))[1]
    assert legend.y0 > highest


def test_without_matplotlib_the_extra_is_named(report, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(PackageError, match=r"convforge\[train\]"):
        figure_png(report.result.panels)
