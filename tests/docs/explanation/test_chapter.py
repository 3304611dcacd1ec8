"""The chapters on explanations and on ONNX files: their commands exist, their Python gives that."""

import re

import pytest

from convforge.analysis import gradients, occlusion, sanity
from convforge.analysis.explanation import METHODS
from convforge.card import METADATA_KEY
from convforge.cli.explain import Method
from convforge.onnx_export import EXAMPLES, NAMES, OPSET, TOLERANCE


@pytest.fixture(scope="module")
def chapter(repository):
    return (repository / "docs" / "explanation.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def onnx_chapter(repository):
    text = (repository / "docs" / "onnx.md").read_text(encoding="utf-8")
    return text.partition("## What is understood")[0]


def test_commands_exist(chapter, onnx_chapter, commands_in, parse_command):
    for words in commands_in(chapter):
        name, values = parse_command(words)
        assert name == "explain"
        assert values.get("method") in {None, *(one.value for one in Method)}
    used = {parse_command(words)[0] for words in commands_in(onnx_chapter) if words}
    assert used == {"compile", "export"}


def test_its_python_gives_what_stands_beside_it(chapter, run_python):
    assert run_python(chapter) == 3


def test_methods_and_their_numbers_are_those_of_the_library(chapter):
    told = re.findall(r"^\| `([\w-]+)` \|", chapter, re.MULTILINE)
    assert told == [*METHODS, "filters", "features"]
    assert f"from {gradients.STEPS[0]} to {gradients.STEPS[-1]} until they do within 5 %" in chapter
    assert gradients.TOLERANCE == 0.05
    assert f"cells, {occlusion.PATCHES} along its shorter side" in chapter
    assert f"Below {sanity.LIMIT} the map" in chapter
    assert sanity.DRAWS == 5
    assert "five times" in chapter


def test_the_onnx_file_is_as_told(onnx_chapter, trained, run_python, tmp_path):
    import convforge as cf

    cf.export(trained, tmp_path / "cats.onnx")
    assert run_python(onnx_chapter) == 0
    assert re.findall(r"^\| `(\w+)` \|", onnx_chapter, re.MULTILINE) == [METADATA_KEY, NAMES]
    assert f"opset {OPSET}" in onnx_chapter
    assert (EXAMPLES, TOLERANCE) == (3, 1e-4)
