"""The page as text; `tests/compiler/test_web_page.py` opens it in a browser."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from convforge.card import Card
from convforge.compiler.backend.package_html import (
    ENTRY,
    Page,
    check_examples,
    is_page,
    page_text,
    save_page,
)
from convforge.errors import InputError, OutputError
from convforge.images.preprocess import Preprocess
from convforge.page_source import bundle

PREPROCESS = Preprocess(resize=14, crop=(12, 12), mean=(120.0,) * 3, std=(60.0,) * 3)


@pytest.fixture
def page():
    card = Card(network="small", arguments={}, classes=("yes", "no"), preprocess=PREPROCESS)
    weights = np.float32([0.5, 1 / 3] * 32)
    return Page(
        card,
        b"\0asm module",
        b"\0asm relaxed",
        weights,
        precision="float16",
        deviation=0.001,
    )


class Elements(HTMLParser):
    """Every element: its tag, its attributes, and the text in it."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs), ""))

    def handle_endtag(self, tag):
        self.found.append(("", {}, ""))  # for the text behind it

    def handle_data(self, data):
        if self.found:
            tag, attrs, text = self.found[-1]
            self.found[-1] = (tag, attrs, text + data)

    def texts(self, tag):
        return [text for name, _, text in self.found if name == tag]

    def by_id(self, name):
        (text,) = (text for _, attrs, text in self.found if attrs.get("id") == name)
        return text


def policy(elements):
    (text,) = (
        attrs["content"]
        for _, attrs, _ in elements.found
        if attrs.get("http-equiv") == "Content-Security-Policy"
    )
    return dict(rule.split(" ", 1) for rule in text.split("; "))


def test_everything_that_the_page_computes_with_lies_in_it(page):
    elements = Elements(page_text(page, title="cats"))
    facts = json.loads(elements.by_id("facts"))
    assert (facts["precision"], facts["deviation"]) == ("float16", 0.001)
    assert facts["runs"] == [[64, 32]]
    assert gzip.decompress(base64.b64decode(elements.by_id("module"))) == page.module
    assert gzip.decompress(base64.b64decode(elements.by_id("relaxed"))) == page.relaxed
    assert base64.b64decode(elements.by_id("weights")) == page.weights.tobytes()


def test_the_policy_allows_what_is_in_the_page_and_nothing_else(page):
    elements = Elements(page_text(page, title="cats"))
    rules = policy(elements)
    assert rules["default-src"] == "'none'"
    assert "unsafe-inline" not in str(rules)
    for tag, rule in (("style", "style-src"), ("script", "script-src")):
        digest = hashlib.sha256(elements.texts(tag)[-1].encode()).digest()
        assert f"'sha256-{base64.b64encode(digest).decode()}'" in rules[rule]


def test_nothing_in_the_page_leads_out_of_it(page):
    text = page_text(page, title="cats")
    assert not re.findall(r"https?://(?!www\.w3\.org/)|//# source|url\(|@import", text)
    assert not {"link", "iframe", "object", "embed"} & {tag for tag, _, _ in Elements(text).found}
    assert not any({"src", "href"} & attrs.keys() for _, attrs, _ in Elements(text).found)


def test_names_cannot_end_the_element_that_they_are_in(page, tmp_path):
    name = "</script><script>alert(1)</script>"
    picture = tmp_path / f"{name.replace('/', '_')}.png"
    Image.new("RGB", (2, 2)).save(picture)
    text = page_text(Page(**vars(page) | {"examples": (picture,)}), title="<b>&")
    assert "<title>&lt;b&gt;&amp;</title>" in text
    facts = json.loads(Elements(text).by_id("facts"))
    assert facts["examples"][0]["name"] == picture.stem
    assert len(Elements(text).texts("script")) == 5


def test_the_same_classifier_gives_the_same_page(page):
    assert page_text(page, title="cats") == page_text(page, title="cats")


def test_a_page_is_known_by_its_beginning(page, tmp_path):
    save_page(page, tmp_path / "cats.html")
    assert is_page(tmp_path / "cats.html")
    (tmp_path / "other.html").write_text("<!doctype html><title>other</title>")
    assert not is_page(tmp_path / "other.html")


def test_a_path_that_cannot_be_written_is_refused(page, tmp_path):
    with pytest.raises(OutputError, match="does not exist"):
        save_page(page, tmp_path / "nowhere" / "cats.html")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "WEBP"])
def test_examples_may_be_any_picture_that_browsers_show(page, tmp_path, kind):
    path = tmp_path / "picture"
    Image.new("RGB", (2, 2)).save(path, kind)
    text = page_text(Page(**vars(page) | {"examples": (path,)}), title="cats")
    (example,) = json.loads(Elements(text).by_id("facts"))["examples"]
    assert example["type"] == f"image/{kind.lower()}"
    assert base64.b64decode(example["text"]) == path.read_bytes()


def test_an_example_that_is_none_is_refused(tmp_path):
    (tmp_path / "notes.png").write_text("notes")
    with pytest.raises(InputError, match=r"notes.png: is no PNG, JPEG"):
        check_examples([tmp_path / "notes.png"])
    with pytest.raises(InputError, match=r"missing.png: cannot be read"):
        check_examples([tmp_path / "missing.png"])


def test_the_bundle_has_every_module_that_the_page_needs():
    text = bundle(ENTRY)
    for name in ("createImageBitmap", "getUserMedia", "cf_predict", "findEvidence"):
        assert name in text
    assert "fetch(" not in text
