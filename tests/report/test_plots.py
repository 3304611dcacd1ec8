import re

import numpy as np

from convforge.calibration import calibrate
from convforge.report.plots import curves_svg, reliability_svg

HISTORY = [
    {
        "epoch": k,
        "loss": 1 / k,
        "accuracy": 1 - 1 / k,
        "learning_rate": 0.1,
        "val_top1": 0.5,
        "val_loss": 2 / k,
    }
    for k in (1, 2, 3)
]


def drawings():
    logits = np.random.default_rng(0).normal(0, 2, (50, 3)).astype(np.float32)
    return (*curves_svg(HISTORY), reliability_svg(calibrate(logits, np.arange(50) % 3)))


def test_colours_are_the_page_s_and_nothing_lies_elsewhere():
    for svg in drawings():
        assert svg.startswith("<svg")
        assert svg.endswith("</svg>")
        assert not re.search(r"https?:|#0102|xmlns|<metadata|<!", svg)
        assert "var(--ink)" in svg or "var(--soft)" in svg


def test_the_same_figures_give_the_same_drawing_and_every_reference_is_there():
    assert drawings() == drawings()
    for svg in drawings():
        named = set(re.findall(r' id="([^"]+)"', svg))
        assert set(re.findall(r'(?:href="#|url\(#)([^")]+)', svg)) <= named


def test_without_val_no_curve_of_it_is_named():
    without = [{k: v for k, v in row.items() if k[:3] != "val"} for row in HISTORY]
    assert [svg.count(">val<") for svg in curves_svg(HISTORY)] == [1, 1, 0]
    assert [svg.count(">val<") for svg in curves_svg(without)] == [0, 0, 0]
    assert [svg.count(">train, augmented<") for svg in curves_svg(without)] == [0, 1, 0]


def test_epochs_of_an_old_state_have_no_point_of_the_loss_on_val():
    old = [{k: v for k, v in row.items() if k != "val_loss"} for row in HISTORY[:2]]
    loss, right, _ = curves_svg([*old, HISTORY[2]])
    assert loss != curves_svg(HISTORY)[0]
    assert ">val<" in loss
    assert right == curves_svg(HISTORY)[1]
