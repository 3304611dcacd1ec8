"""The page of an evaluation: of classifiers and artifacts alike, as loaded by a browser."""

from __future__ import annotations

import base64
import io
import re
import sys

import numpy as np
import pytest
from PIL import Image

from convforge.card import Card
from convforge.cli.main import run
from convforge.errors import DataError
from convforge.evaluation import Answered, evaluate
from convforge.images.dataset import Images, Split
from convforge.images.preprocess import Preprocess
from convforge.report.evaluation import evaluation_html, save_evaluation_report

NASTY = "<script>x</script>"
PREPROCESS = Preprocess(resize=(8, 8), crop=(8, 8), mean=(0.0,), std=(1.0,))


class Brightness:
    """Answers by an image's mean value: class 1 from 128 on, and is rather sure."""

    classes = ("dark", NASTY)
    card = Card(
        network="bright",
        arguments={},
        classes=classes,
        preprocess=PREPROCESS,
        data={"uri": "photos", "fingerprint": "0" * 64},
    )

    def probabilities(self, images):
        return np.array(
            [[0.1, 0.9] if image.mean() >= 128 else [0.8, 0.2] for image in images], np.float32
        )


def images(values, labels, *, bad=()):
    def read(row):
        if row in bad:
            raise DataError(f"{row}.png: is empty")
        return np.full((20, 30, 3), values[row], np.uint8)

    names = tuple(f"{row}<b>.png" for row in range(len(values)))
    test = Split(name="test", names=names, labels=np.array(labels), read=read)
    return Images(
        uri="made",
        classes=Brightness.classes,
        channels=3,
        splits={"train": test, "test": test},
        fingerprint="1" * 64,
    )


def page_of(data, **more) -> str:
    kept: list[Answered] = []
    evaluate(Brightness(), data, answered=kept.append)
    return evaluation_html(Brightness.card, kept[0], title=NASTY, seconds=2.0, **more)


def test_the_page_needs_nothing_and_has_every_section():
    page = page_of(images([0, 200, 200, 0], [0, 1, 0, 0]))
    assert not re.search(r"https?:|<script|<link|@import|url\((?!#)|src=\"(?!data:)", page)
    heads = re.findall(r"<h2>([^<]*)</h2>", page)
    assert heads == [
        "What is taken for what",
        "Classes",
        "Calibration",
        "Mistakes",
        "What was measured",
    ]
    assert "top-1 on test</dt><dd>75.00%" in page
    assert "2 images a second" in page
    assert "&lt;script&gt;x&lt;/script&gt;" in page


def test_mistakes_are_the_images_themselves_at_their_size():
    page = page_of(images([0, 200, 210, 0], [0, 1, 0, 1]))
    found = re.findall(r'src="data:image/jpeg;base64,([^"]*)"', page)
    pictures = [Image.open(io.BytesIO(base64.b64decode(one))) for one in found]
    assert [one.size for one in pictures] == [(30, 20), (30, 20)]
    assert [round(float(np.mean(one)) / 10) for one in pictures] == [21, 0]  # the surest first
    assert "2&lt;b&gt;.png" in page


def test_images_that_cannot_be_used_are_listed_as_wrong_answers():
    page = page_of(images([0, 200, 0], [0, 1, 0], bad={2}))
    assert "1 of 3; each counts as a wrong answer" in page
    assert "2.png: is empty" in page
    assert "top-1 on test</dt><dd>66.67%" in page


def test_where_no_image_can_be_used_it_says_that():
    page = page_of(images([0, 0], [0, 1], bad={0, 1}))
    assert "2 of 2; each counts as a wrong answer" in page
    assert "Calibration" not in page


def test_corruptions_are_held_against_the_clean_images():
    worse = evaluate(Brightness(), images([0, 0, 0, 0], [0, 1, 0, 1]))
    page = page_of(images([0, 200, 0, 200], [0, 1, 0, 1]), corrupted={"noise, severity 3": worse})
    row = page[page.index("noise, severity 3") :]
    assert "50.00%" in row
    assert "-50.00" in row


def test_names_that_are_not_unicode_are_written_as_escapes(tmp_path):
    kept: list[Answered] = []
    evaluate(Brightness(), images([0, 200], [0, 1]), answered=kept.append)
    file = tmp_path / "page.html"
    save_evaluation_report(file, Brightness.card, kept[0], title="\udcff", seconds=1.0)
    assert "<h1>\\udcff</h1>" in file.read_text()


@pytest.mark.parametrize("kind", ["classifier_file", "artifact_file"])
def test_the_command_writes_it_for_classifiers_and_artifacts_alike(kind, tmp_path, request, capsys):
    file, page = request.getfixturevalue(kind), tmp_path / "out.html"
    command = ["evaluate", str(file), "digits", "--report", str(page)]
    assert run(command) == 0
    top1 = re.search(r"top-1 ([\d.]+%)", capsys.readouterr().out).group(1)
    assert f"top-1 on test</dt><dd>{top1}" in page.read_text()
    page.write_text("mine")
    assert run(command) == 2
    assert "--force" in capsys.readouterr().err
    assert page.read_text() == "mine"
    assert run([*command, "--force"]) == 0
    assert "Mistakes" in page.read_text()


def test_without_matplotlib_the_command_ends_before_the_work(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    page = tmp_path / "out.html"
    assert run(["evaluate", "missing.so", "digits", "--report", str(page)]) == 2
    assert "drawing needs matplotlib" in capsys.readouterr().err
    assert not page.exists()


def test_on_a_phone_the_page_is_no_wider_than_the_screen(tmp_path, chromium):
    labels = [0, 1, 0, 0] * 5
    file = tmp_path / "page.html"
    file.write_text(page_of(images([0, 200, 200, 0] * 5, labels)))
    screen = chromium.new_page(viewport={"width": 390, "height": 800})
    screen.goto(file.as_uri())
    assert screen.evaluate("document.documentElement.scrollWidth") <= 390
    screen.close()
