"""report.html: a page that needs nothing else, whatever the names, the parts and the sizes."""

from __future__ import annotations

import base64
import io
import itertools
import re
import sys
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from convforge.cli.main import app
from convforge.errors import OutputError, PackageError
from convforge.images.dataset import Images, Split
from convforge.report.sections import MATRIX_CLASSES
from convforge.training.log import read_log
from convforge.training.report import report_html, save_report
from convforge.training.trainer import train

NASTY = '<script>alert("x")</script>&$^_\\frac'
VOID = {"meta", "img", "br", "path", "use", "input", "rect"}


class Reader(HTMLParser):
    """Text, tags and pictures of a page; fails where tags are not closed in order."""

    def __init__(self, page):
        super().__init__()
        self.open, self.words, self.tags, self.pictures = [], [], [], []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        if tag == "img":
            self.pictures.append(dict(attributes)["src"])
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return " ".join(self.words)


def images(*, classes, parts, each=2, channels=1, seed=0):
    """Noise of 32x32 pixels, `each` of a class in each part; names hold what must be escaped."""
    draws = np.random.default_rng(seed)
    splits = {}
    for part in parts:
        pixels = draws.integers(0, 256, (each * len(classes), 32, 32, 3), np.uint8)
        splits[part] = Split(
            name=part,
            names=tuple(f"{part}/<b>\udcff{row}.png" for row in range(len(pixels))),
            labels=np.repeat(np.arange(len(classes)), each),
            read=pixels.__getitem__,
        )
    return Images(
        uri=f"folder{NASTY}",
        classes=tuple(classes),
        channels=channels,
        splits=splits,
        fingerprint="0" * 64,
    )


def run(data, folder, *, epochs=1):
    """The card, what was measured, and the report's text."""
    kept = []
    classifier = train(
        data, network="lenet5_relu", epochs=epochs, folder=folder, measured=kept.append
    )
    return classifier.card, kept[0], save_report(folder, classifier.card, kept[0]).read_text()


def rows_of(page):
    """{first cell: second cell} of the table below "Time and cost"."""
    table = page[page.index("Time and cost") :].partition("</table>")[0]
    rows = [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in table.split("</tr>")]
    return {unescape(row[0]): unescape(row[1]) for row in rows if row}


def needs_nothing(page):
    assert not re.search(r"https?:|<script|<link|<iframe|@import|url\((?!#)|src=\"(?!data:)", page)
    assert not re.search(r"href=\"(?!#)", page)
    assert "default-src 'none'" in page
    return Reader(page)


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """A run of the command line on the digits: its folder and what it printed."""
    folder = tmp_path_factory.mktemp("report")
    file = str(folder / "digits.safetensors")
    result = CliRunner().invoke(
        app(), ["train", "digits", "-n", "lenet5_relu", "--epochs", "2", "-o", file]
    )
    assert result.exit_code == 0, result.output
    return folder / "digits.run", result.output


def test_a_run_of_the_command_line_leaves_a_report_in_its_folder(digits):
    folder, output = digits
    page = needs_nothing((folder / "report.html").read_text())
    assert "report.html" in output
    for words in ("Curves", "What is taken for what", "Classes", "Calibration", "Mistakes", "Data"):
        assert words in page.words
    assert page.tags.count("svg") == 4  # three curves, one of calibration
    assert "top-1 on test" in page.text
    assert "450 images" in page.text
    assert {"learning_rate", "torch", "precision", "fingerprint of the data"} <= set(page.words)


def test_mistakes_are_pictures_of_the_data(digits):
    page = Reader((digits[0] / "report.html").read_text())
    assert 0 < len(page.pictures) <= 24
    for source in page.pictures:
        kind, _, content = source.partition(",")
        assert kind == "data:image/jpeg;base64"
        assert Image.open(io.BytesIO(base64.b64decode(content))).size == (32, 32)


def test_names_from_outside_are_text_and_nothing_else(tmp_path):
    data = images(classes=["<i>a</i>", NASTY], parts=["train", "val", "test"], each=8)
    _, _, page = run(data, tmp_path / "x.run")
    reader = needs_nothing(page)
    assert "i" not in reader.tags
    assert NASTY in reader.words
    assert f"lenet5_relu on folder{NASTY}" in reader.words
    assert "test/<b>\\udcff" in reader.text


def test_with_val_a_temperature_is_found_and_shown(tmp_path):
    data = images(classes="ab", parts=["train", "val", "test"], each=5)
    _, _, page = run(data, tmp_path / "x.run")
    words = Reader(page).words
    assert {"test, as it is", "val, as it is", "val, scaled", "test, scaled"} <= set(words)


def test_time_and_cost_are_those_that_were_measured(tmp_path):
    folder = tmp_path / "x.run"
    card, measured, page = run(
        images(classes="ab", parts=["train", "val"], each=8), folder, epochs=2
    )
    cost, shown = measured.cost, rows_of(page)
    assert (cost.loop.steps, cost.loop.images, cost.loop.continued) == (2, 32, False)
    assert cost.loop.seconds == pytest.approx(read_log(folder)[-1]["seconds"], abs=1e-3)
    assert shown["all"] == f"{card.metrics['seconds']:,.1f} s"
    assert shown["training"] == f"{cost.loop.seconds:,.1f} s"
    assert shown["images"] == "32"
    assert shown["images a second"] == f"{32 / cost.loop.seconds:,.0f}"
    assert (shown["parameters"], shown["multiply-adds"]) == ("61,026", "415,848")
    assert shown["multiply-adds in all"].split() == ["3.99", "x", "10⁷"]  # 3 x 415,848 x 32
    assert shown["processor"] == cost.processor
    assert (shown["threads"], shown["cores busy"]) == ("1", f"{cost.loop.busy:.2f}")


def test_time_and_cost_of_a_team_on_gpus_that_went_on_and_of_the_last_layer_alone(tmp_path):
    card, measured, page = run(images(classes="ab", parts=["train", "val"]), tmp_path / "x.run")
    loop = replace(measured.cost.loop, continued=True)
    cost = replace(measured.cost, gpu="<GPU>", processes=2, threads=3, processor="", loop=loop)
    page = report_html(card, replace(measured, cost=cost), history=[])
    shown = rows_of(page)
    assert (shown["GPU"], shown["threads"], "processor" in shown) == (
        "<GPU>",
        "2 processes of 3",
        False,
    )
    assert "all, of this command" in shown
    assert "validation and saving included, earlier commands too" in page
    assert "of the first process" in page
    head = replace(card, metrics={**card.metrics, "head": {"seconds": 4.25}})
    shown = rows_of(report_html(head, replace(measured, cost=replace(cost, loop=None)), history=[]))
    assert shown["last layer"] == "4.2 s"
    assert not {"training", "images", "multiply-adds in all", "cores busy"} & set(shown)


@pytest.mark.parametrize("parts", [["train"], ["train", "val"], ["train", "test"]])
def test_one_image_a_class_and_missing_parts_give_a_page(tmp_path, parts):
    _, _, page = run(images(classes="ab", parts=parts, each=1), tmp_path / "x.run")
    reader = needs_nothing(page)
    assert ("No images were held out" in page) == (len(parts) == 1)
    assert ("Calibration" in reader.words) == (len(parts) == 2)
    assert ("The loss of val is the cross-entropy" in page) == ("val" in parts)
    assert (f"{parts[-1]}, scaled" in reader.words) == ("val" in parts)


def test_many_classes_are_shown_as_the_pairs_that_are_confused_most(tmp_path):
    names = [f"c{index}" for index in range(MATRIX_CLASSES + 1)]
    card, measured, page = run(images(classes=names, parts=["train", "test"]), tmp_path / "x.run")
    reader = needs_nothing(page)
    assert 'class="matrix"' not in page
    confusion = measured.evaluations["test"].confusion.copy()
    np.fill_diagonal(confusion, 0)
    true, answer = np.unravel_index(confusion.argmax(), confusion.shape)
    row = [names[true], names[answer], f"{confusion.max()}"]
    first = reader.words.index("images", reader.words.index("answer"))
    assert reader.words[first + 1 : first + 4] == row
    assert report_html(card, measured, history=[]).count("<svg") == 1


def test_recall_has_the_interval_of_its_class(tmp_path):
    _, measured, page = run(
        images(classes="ab", parts=["train", "test"], each=4), tmp_path / "x.run"
    )
    right = measured.evaluations["test"].confusion[0, 0]
    known = {0: "0.0 to 49.0%", 1: "4.6 to 69.9%", 2: "15.0 to 85.0%", 3: "30.1 to 95.4%"}
    assert known.get(int(right), "51.0 to 100.0%") in Reader(page).words


def test_without_matplotlib_there_is_an_error_that_names_the_extra(tmp_path, monkeypatch):
    data = images(classes="ab", parts=["train", "test"])
    card, measured, _ = run(data, tmp_path / "x.run")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(PackageError, match=r"convforge\[train\]"):
        save_report(tmp_path / "y.run", card, measured)
    assert not (tmp_path / "y.run").exists()


def test_without_matplotlib_a_run_of_the_command_line_ends_well(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    file = tmp_path / "d.safetensors"
    result = CliRunner().invoke(
        app(), ["train", "digits", "-n", "lenet5_relu", "--epochs", "1", "-o", str(file)]
    )
    assert result.exit_code == 0, result.output
    assert file.exists()
    assert "no report: drawing needs matplotlib" in result.output
    assert not (tmp_path / "d.run" / "report.html").exists()


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    data = images(classes="ab", parts=["train", "test"])
    card, measured, _ = run(data, tmp_path / "x.run")
    with pytest.raises(OutputError, match="cannot be made"):
        save_report(tmp_path / "missing" / "y.run", card, measured)


def test_where_the_last_layer_alone_was_fitted_an_old_log_is_not_shown(tmp_path):
    folder = tmp_path / "x.run"
    card, measured, page = run(images(classes="ab", parts=["train", "test"]), folder)
    fitted = {key: value for key, value in card.metrics.items() if key != "train"}
    head = save_report(folder, replace(card, metrics=fitted), measured).read_text()
    assert "Curves" in Reader(page).words
    assert "Curves" not in Reader(head).words
    assert "2 classes, the last layer." in Reader(head).words


def test_on_a_phone_curves_stand_one_below_the_other(digits, chromium):
    screen = chromium.new_page(viewport={"width": 390, "height": 800})
    screen.goto((digits[0] / "report.html").as_uri())
    assert screen.evaluate("document.documentElement.scrollWidth") <= 390
    boxes = [one.bounding_box() for one in screen.query_selector_all(".panels svg")]
    assert len(boxes) == 3
    for upper, lower in itertools.pairwise(boxes):
        assert lower["y"] >= upper["y"] + upper["height"]
        assert lower["width"] > 250
    screen.set_viewport_size({"width": 1200, "height": 800})
    boxes = [one.bounding_box() for one in screen.query_selector_all(".panels svg")]
    assert len({box["y"] for box in boxes}) == 1
    screen.close()
