"""Sections of reports: figures, tables and matrices are those of the evaluation, names are text."""

from __future__ import annotations

import re

import numpy as np
import pytest

from convforge.calibration import calibrate, fit_temperature
from convforge.evaluation import measure
from convforge.images.dataset import Split
from convforge.prediction import softmax
from convforge.report.sections import (
    MATRIX_CLASSES,
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

LOGITS = np.array([[3, 0, 0], [0, 2, 0], [0, 1, 0], [0, 0, 2]], np.float32)
LABELS = np.array([0, 1, 2, 2])


def answers(logits=LOGITS, labels=LABELS, *, classes=("a", "<b>", "c"), name="test"):
    names = tuple(f"{row}.png" for row in range(len(labels)))
    part = Split(name=name, names=names, labels=labels, read=lambda row: None)
    evaluation = measure([softmax(logits)], part, classes=tuple(classes), uri="made")
    return Answers(
        evaluation=evaluation, names=names, labels=labels, logits=logits, pictures=lambda rows: []
    )


def cells(page):
    return re.findall(r"<t[dh][^>]*>([^<]*)</t[dh]>", page)


def test_the_matrix_has_the_counts_by_true_class_and_answer():
    page = confusion_html(answers())
    assert cells(page)[1:4] == ["a", "&lt;b&gt;", "c"]
    assert cells(page)[4:] == ["a", "1", "", "", "&lt;b&gt;", "", "1", "", "c", "", "1", "1"]
    assert 'title="c taken for &lt;b&gt;: 1"' in page


def test_many_classes_without_a_mistake_say_so():
    size = MATRIX_CLASSES + 1
    logits = 5 * np.eye(size, dtype=np.float32)
    many = answers(logits, np.arange(size), classes=[f"c{k}" for k in range(size)])
    assert "No image of test is taken for another" in confusion_html(many)


@pytest.mark.parametrize("train", [None, [7, 8, 1_000]])
def test_classes_have_their_figures_and_images_to_train_on_where_known(train):
    found = cells(classes_html(answers(), train=train))
    width = 6 if train is None else 7
    assert found[:2] == ["class", "test" if train is None else "train"]
    last = found[3 * width :]
    assert last[0] == "c"
    assert ("1,000" in last) == (train is not None)
    assert last[-5:] == ["2", "100.0%", "50.0%", "9.5 to 90.5%", "66.7%"]


def test_figures_are_those_of_the_evaluation_and_text():
    page = figures_html([*accuracy_figures(answers().evaluation), ("<i>", "1 & 2", "")])
    assert "<dt>top-1 on test</dt><dd>75.00%" in page
    assert "30.06 to 95.44%, 95 % interval, 4 images" in page
    assert "<dt>&lt;i&gt;</dt><dd>1 &amp; 2" in page


def test_calibration_is_shown_without_and_with_the_temperature_of_val():
    val = answers(LOGITS[::-1].copy(), np.array([0, 2, 1, 0]), name="val")
    alone, both = calibrated(answers(), val=None), calibrated(answers(), val=val)
    assert alone.shown == calibrate(LOGITS, LABELS)
    assert alone.temperature is None
    assert both.temperature == fit_temperature(val.logits, val.labels)
    value = both.temperature.value
    assert both.scaled == calibrate(LOGITS, LABELS, temperature=value)
    assert "val, scaled" not in calibration_html(alone, "test")
    assert f"{value:.3g}" in cells(calibration_html(both, "test"))
    assert error_figure(alone) == [
        ("calibration error", f"{alone.shown.ece:.2%}", "expected, 15 bins")
    ]


def test_without_an_image_there_is_no_calibration():
    empty = Answers(
        evaluation=answers().evaluation,
        names=(),
        labels=np.empty(0, np.int64),
        logits=np.empty((0, 3), np.float32),
        pictures=lambda rows: [],
    )
    assert calibrated(empty, val=None) is None
    assert error_figure(None) == []


def test_a_table_without_a_head_has_none_and_cells_are_text():
    page = table_html(("", ""), [("<x>", "1")], numbers={1})
    assert "<thead>" not in page
    assert page.count("&lt;x&gt;") == 1
    assert '<td class="number">1</td>' in page
