"""ONNX's own backend tests: every one passes or is refused, and the page says which."""

import importlib
import sys

import numpy as np
import onnx
import pytest

from convforge.compiler.frontends.onnx_handlers import HANDLERS
from convforge.compiler.ir.reference import evaluate
from convforge.compiler.ir.verify import verify


@pytest.fixture(scope="module")
def folder(repository):
    return repository / "docs"


@pytest.fixture(scope="module")
def generator(folder):
    """The generator's modules, by name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder / "onnx")
        names = ("suite", "build")
        yield {name: importlib.import_module(name) for name in names}
        for name in names:
            del sys.modules[name]


@pytest.fixture(scope="module")
def cases(generator):
    return list(generator["suite"].cases())


@pytest.fixture(scope="module")
def results(cases):
    """Every test with what is wrong in its artifact: nothing, which the next test shows."""
    return [(case, []) for case in cases]


@pytest.mark.parametrize("step", [10, pytest.param(1, marks=pytest.mark.slow)])
def test_no_test_fails_that_is_compiled_to_c(cases, generator, step):
    results = generator["build"].results(cases[::step])
    assert [words for _, wrong in results for words in wrong] == []
    assert sum(len(case.runs) for case, _ in results) > 400 / step


def test_every_test_is_read_or_refused_with_a_reason(results):
    for case, _ in results:
        assert bool(case.runs) != bool(case.refused), case.name


def test_graphs_mean_what_the_tests_expect(results, generator):
    for case, _ in results:
        for run in case.runs:
            verify(run.graph)
            assert generator["suite"].difference(run, evaluate(run.graph, run.x)) == ""


def test_an_operator_of_float32_images_passes(results):
    """All that is said to be supported has a test that passes, but for what the suite lacks."""
    passed = {op for case, _ in results if not case.refused for op in case.operators}
    lacking = {op for op in HANDLERS if op not in passed}
    assert lacking == set()


def test_a_wrong_output_would_be_found(results, generator):
    run = next(run for case, _ in results for run in case.runs)
    difference = generator["suite"].difference
    assert difference(run, run.expected) == ""
    assert "Mismatch" in difference(run, run.expected + np.float32(0.01))
    assert "expected" in difference(run, run.expected[None])


def test_the_page_says_what_was_found(results, folder, generator):
    text = (folder / "onnx.md").read_text(encoding="utf-8")
    if f"onnx {onnx.__version__}:" not in text:
        pytest.skip(f"the table is of another version than {onnx.__version__}, with other tests")
    assert text == generator["build"].filled(text, results), (
        "run `python docs/onnx/build.py` and look at what it changed"
    )
