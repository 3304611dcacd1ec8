"""The studies' chapters: each says what its numbers say, and the index has every verdict."""

import json

import pytest

from convforge.studies.catalog import CATALOG


@pytest.fixture(scope="module")
def folder(repository):
    return repository / "docs" / "studies"


@pytest.fixture(scope="module")
def records(folder):
    return {path.stem: json.loads(path.read_text("utf-8")) for path in folder.glob("*.json")}


def test_the_index_names_every_study(folder):
    text = (folder / "index.md").read_text(encoding="utf-8")
    for name in CATALOG:
        assert f"| `{name}` | " in text


def test_every_chapter_is_of_a_study_and_has_its_picture(folder, records):
    for name, record in records.items():
        assert record["study"] in CATALOG
        assert (folder / f"{name}.png").read_bytes()[:4] == b"\x89PNG"


def test_chapters_and_index_have_the_verdicts_of_the_numbers(folder, records):
    index = (folder / "index.md").read_text(encoding="utf-8")
    for name, record in records.items():
        chapter = (folder / f"{name}.md").read_text(encoding="utf-8")
        assert f"({name}.png)" in chapter
        assert record["claim"] == CATALOG[record["study"]].claim
        for found in record["findings"]:
            assert f"| {found['claim']} | {found['measured']} | **{found['verdict']}** |" in chapter
            assert f"{found['claim']} | **{found['verdict']}** |" in index


def test_no_chapter_names_a_folder_of_a_machine(folder):
    for path in folder.glob("*.*"):
        if path.suffix in {".md", ".json"}:
            assert "/tmp" not in path.read_text(encoding="utf-8"), path
