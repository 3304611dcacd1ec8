from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from convforge.analysis import overlay
from convforge.analysis.explanation import METHODS, explain
from convforge.analysis.maps import feature_maps, first_filters
from convforge.analysis.overlay import check_picture, save_explanation
from convforge.errors import OutputError, PackageError
from convforge.images.preprocess import Preprocess
from convforge.prediction import Prediction

RGB = Preprocess(resize=40, crop=(32, 32), mean=(128.0,) * 3, std=(64.0,) * 3)


@pytest.fixture(scope="module")
def found(trained, scans):
    return explain(trained, scans[0])


def size(path):
    with Image.open(path) as picture:
        return picture.size


def pixels(path):
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB")).astype(int)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_is_drawn_in_colour(trained, scans, method, tmp_path):
    explain(trained, scans[0], method=method).save(tmp_path / "why.png", title="a scan")
    picture = pixels(tmp_path / "why.png")
    height, width, _ = picture.shape
    assert width > height > 500
    spread = picture.max(axis=2) - picture.min(axis=2)
    # The scan is grey: colour is heat, in the right half.
    assert spread[:, width // 2 :].max() > 100
    assert spread[: height // 2, : width // 3].max() < 30


def test_a_pictures_heat_is_warmest_where_the_explanation_is(found, tmp_path):
    values = np.zeros((4, 4), np.float32)
    values[3, 0] = 1
    dark = replace(found, method="occlusion", values=values, seen=np.zeros((64, 64, 1), np.uint8))
    dark.save(tmp_path / "why.png")
    picture = pixels(tmp_path / "why.png")
    # Inferno ends in a light yellow; the bar at the right end has it too.
    body = picture[:, : int(picture.shape[1] * 0.88)]
    rows, columns = np.nonzero((body[..., 0] > 150) & (body[..., 2] < body[..., 0] - 40))
    assert rows.mean() > 0.6 * picture.shape[0]
    assert 0.4 < columns.mean() / picture.shape[1] < 0.6


@pytest.mark.parametrize("form", ["svg", "pdf", "PNG"])
def test_forms_go_by_the_name_and_the_same_gives_the_same_bytes(found, form, tmp_path):
    for name in ("a", "b"):
        found.save(tmp_path / f"{name}.{form}", title="scan.png")
    content = (tmp_path / f"a.{form}").read_bytes()
    assert content.startswith({"svg": b"<?xml", "pdf": b"%PDF", "PNG": b"\x89PNG"}[form])
    assert (tmp_path / f"b.{form}").read_bytes() == content


@pytest.mark.parametrize("label", ["고양이", "$x_1$ & <b>", "$^_a$", "ሀለ", "a" * 200, "two\nlines"])
def test_names_of_classes_are_drawn_whatever_they_are(found, label, tmp_path):
    one = Prediction(label, 3, 0.5)
    other = Prediction(label + "2", 4, 0.6)
    replace(found, target=one, best=other).save(tmp_path / "why.png", title=label)
    assert size(tmp_path / "why.png")[0] > 800


def test_what_no_font_has_is_named_by_its_number():
    assert overlay._class_name("cat", 7) == "cat"
    assert overlay._class_name("\U0010fffd", 7) == "class 7"


def test_filters_and_maps_are_drawn(trained, make_classifier, scans, picture, tmp_path):
    first_filters(trained).save(tmp_path / "grey.png", title="digits")
    colour = make_classifier("resnet20", preprocess=RGB)
    first_filters(colour).save(tmp_path / "colour.png")
    feature_maps(trained, scans[0]).save(tmp_path / "maps.svg", title=str(scans[0]))
    feature_maps(colour, picture).save(tmp_path / "colour-maps.png")
    for name in ("grey.png", "colour.png", "colour-maps.png"):
        assert min(size(tmp_path / name)) > 100


@pytest.mark.parametrize("name", ["why.jpg", "why", "why.txt"])
def test_other_forms_are_refused(name, tmp_path):
    with pytest.raises(OutputError, match=rf"{name}: expected a name that ends in \.png, \.svg"):
        check_picture(tmp_path / name)


def test_a_folder_that_is_not_there_is_refused(found, tmp_path):
    with pytest.raises(OutputError, match="does not exist"):
        save_explanation(found, tmp_path / "gone" / "why.png")


def test_without_matplotlib_the_message_names_the_extra(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(PackageError, match=r'needs matplotlib.*pip install "convforge\[explain\]"'):
        check_picture(tmp_path / "why.png")


def test_a_heading_is_wrapped_into_lines_of_whole_words(trained):
    words = " ".join(["$^_a$", "iiii"] * 30)
    with overlay._settings():
        wrapped = overlay._wrapped(words, width=300, size=9)
        assert overlay._wrapped("one\ntwo three", width=1, size=9) == "one\ntwo\nthree"
    assert wrapped.replace("\n", " ") == words
    assert 4 <= wrapped.count("\n") <= 12
