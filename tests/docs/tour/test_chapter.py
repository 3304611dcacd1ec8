"""The tour: the notebook is what its text says, and every cell runs."""

import importlib.util

import pytest


@pytest.fixture(scope="module")
def build(repository):
    path = repository / "docs" / "tour" / "build.py"
    spec = importlib.util.spec_from_file_location("build_tour", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def text(build):
    return (build.FOLDER / "cells.md").read_text(encoding="utf-8")


def test_the_notebook_has_the_cells_of_its_text(build, text):
    made = build.notebook(text)
    kept = build.nbformat.read(build.NOTEBOOK, as_version=4)
    build.nbformat.validate(kept)
    assert [(cell.id, cell.cell_type, cell.source) for cell in kept.cells] == [
        (cell.id, cell.cell_type, cell.source) for cell in made.cells
    ]
    assert sum(cell.cell_type == "code" for cell in kept.cells) > 8


def test_its_outputs_are_small_and_say_nothing_of_a_machine(build):
    content = build.NOTEBOOK.read_text(encoding="utf-8")
    assert len(content) < 60_000
    for word in ("/tmp/", "/home/", "/root", "Traceback", "stderr"):
        assert word not in content


def test_code_and_text_are_told_apart(build):
    made = build.notebook("# Title\n\n```python\nx = 1\n```\n\nand\n\n```python\nx\n```\n")
    assert [cell.cell_type for cell in made.cells] == ["markdown", "code", "markdown", "code"]
    assert [cell.source for cell in made.cells] == ["# Title", "x = 1", "and", "x"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning:zmq", "ignore::RuntimeWarning:zmq")
def test_every_cell_runs(build, text, tmp_path):
    made = build.run(build.notebook(text), folder=tmp_path)
    said = "".join(
        output.get("text", "") for cell in made.cells for output in cell.get("outputs", ())
    )
    assert "6 by hand, 6 by the formula" in said
    assert "61,706 parameters, 416,520 multiply-adds" in said
    assert "probabilities differ by at most" in said
