import re
import shutil
import subprocess

import pytest

from convforge.card import Card
from convforge.compiler.backend import package_html
from convforge.images.preprocess import Preprocess
from convforge.page_source import assemble, bundle, modules
from convforge.serving import front

PAGES = (package_html.ENTRY, front.ENTRY)


def card(network="small", classes=("yes", "no")):
    preprocess = Preprocess(resize=8, crop=(8, 8), mean=(0.0,), std=(1.0,))
    return Card(network=network, arguments={}, classes=classes, preprocess=preprocess)


def page(given, **changes):
    words = {"title": "cats", "entry": "dom.js", "data": "<p>@TITLE@</p>", "promise": "a & b"}
    return assemble(given, **words | {"allowed": {}} | changes)


def test_words_are_text_and_data_are_as_they_are():
    text = page(card(), title="<b>")
    assert "<title>&lt;b&gt;</title>" in text
    assert "small, 2 classes" in text
    assert "a &amp; b" in text
    assert "<p>@TITLE@</p>" in text
    assert "An image classifier, 1 class<" in page(card("", ("one",)))


def test_what_is_allowed_is_added_to_the_policy():
    text = page(card(), allowed={"connect-src": "'self'", "img-src": "data:"})
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', text)
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["connect-src"] == "'self'"
    assert rules["img-src"] == "blob: data:"
    assert rules["default-src"] == "'none'"


@pytest.mark.parametrize("entry", PAGES)
def test_the_bundle_has_no_import(entry):
    assert not re.search(r"^(import|export)\b", bundle(entry), re.MULTILINE)


@pytest.mark.parametrize("entry", PAGES)
def test_modules_come_behind_what_they_import(repository, entry):
    folder = repository / "src" / "convforge" / "serving" / "page"
    found = modules(entry)
    assert found[-1] == entry
    for place, name in enumerate(found):
        imported = re.findall(r'from "\./(.*)";', (folder / name).read_text())
        assert set(imported) <= set(found[:place]), name


def test_every_module_is_in_a_page(repository):
    folder = repository / "src" / "convforge" / "serving" / "page"
    assert {path.name for path in folder.glob("*.js")} == {
        name for entry in PAGES for name in modules(entry)
    }


@pytest.mark.skipif(shutil.which("node") is None, reason="there is no node to read JavaScript")
@pytest.mark.parametrize("entry", PAGES)
def test_no_two_modules_give_a_name_to_different_things(entry, tmp_path):
    (tmp_path / "page.mjs").write_text(bundle(entry))
    subprocess.run(["node", "--check", tmp_path / "page.mjs"], check=True, capture_output=True)
