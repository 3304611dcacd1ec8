"""Nasty files: each has the outcome that tests/nasty.py states, and nothing is written."""

import hashlib
import json
import os
import re
import runpy
from pathlib import Path

import pytest

from convforge import images
from convforge.cli.main import run
from convforge.errors import DataError
from convforge.images.cache import Cache
from convforge.images.decoding import decode_images
from convforge.images.duplicates import find_duplicates
from convforge.images.preprocess import Preprocess
from convforge.images.stored import Uncropped

NASTY = runpy.run_path(str(Path(__file__).with_name("nasty.py")))
OUTCOMES, REFUSED = NASTY["OUTCOMES"], NASTY["REFUSED"]
PREPROCESS = Preprocess(resize=20, crop=(16, 16), mean=(0.0,) * 3, std=(1.0,) * 3)


def state_of(root):
    """Every file's and folder's name, kind, times, mode, and content."""
    found = {}
    for folder, folders, files in os.walk(root):
        for name in [*folders, *files]:
            path = Path(folder, name)
            stat = path.lstat()
            plain = path.is_file() and not path.is_symlink()
            content = hashlib.sha256(path.read_bytes()).hexdigest() if plain else ""
            found[str(path)] = (stat.st_mode, stat.st_size, stat.st_mtime_ns, content)
    return found


@pytest.fixture(scope="module")
def nasty(tmp_path_factory):
    """The folder; at the end of these tests it is as it was."""
    root = tmp_path_factory.mktemp("nasty") / "photos"
    NASTY["build_nasty"](root)
    before = state_of(root)
    yield root
    assert state_of(root) == before


@pytest.fixture(scope="module")
def forbidden(tmp_path_factory):
    """The folder of folders that are refused; at the end of these tests it is as it was."""
    root = tmp_path_factory.mktemp("refused")
    NASTY["build_refused"](root)
    before = state_of(root)
    yield root
    assert state_of(root) == before


@pytest.fixture
def cli(capsys, tmp_path, monkeypatch):
    """Run one command; gives its code and what it said, parsed where it is JSON."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def command(*arguments):
        capsys.readouterr()
        code = run([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return code, json.loads(said.out) if said.out else None, said.err

    return command


@pytest.mark.parametrize("cached", [False, True])
@pytest.mark.parametrize("geometry", [PREPROCESS, Uncropped(PREPROCESS)])
def test_each_file_has_its_outcome(geometry, cached, nasty, tmp_path, monkeypatch):
    monkeypatch.setattr("convforge.images.decoding.SMALL_BYTES", 0)
    cache = Cache(folder=tmp_path) if cached else None
    data = images.open(nasty)
    assert data.classes == tuple(sorted(NASTY["CLASSES"]))
    every = dict.fromkeys(data.splits, geometry)
    decoded = decode_images(data, every, max_bad=0.5, cache=cache)
    used = {name for one in decoded.values() for name in one.part.names}
    bad = {image.name: image.reason for one in decoded.values() for image in one.bad}
    for name, (outcome, words) in OUTCOMES.items():
        assert (name in used, name in bad) == (outcome == "used", outcome == "bad"), name
        if outcome == "bad":
            assert words in bad[name]
    assert len(used) == 72 + sum(outcome == "used" for outcome, _ in OUTCOMES.values())
    assert len(bad) == sum(outcome == "bad" for outcome, _ in OUTCOMES.values())
    for one in decoded.values():
        assert len(one.pixels) == len(one.part.labels)


def test_the_duplicate_across_the_parts_is_found(nasty):
    data = images.open(nasty)
    decoded = decode_images(data, dict.fromkeys(data.splits, PREPROCESS), max_bad=0.5)
    [pair] = find_duplicates(decoded, preprocess=PREPROCESS).pairs
    assert (pair.name, pair.train_name) == ("test/cat/twin.png", "train/cat/twin.png")
    assert pair.exact


def test_it_can_be_trained_on_and_evaluated(cli, nasty, tmp_path):
    file = tmp_path / "nasty.safetensors"
    options = ("--network", "mobilenet_v1", "--input-size", "32", "--set", "width=0.25")
    code, _, error = cli("train", nasty, *options, "--epochs", "1", "-o", file, "--json")
    assert code == 2
    assert "10 of " in error
    for name, (outcome, words) in OUTCOMES.items():
        if outcome == "bad":
            assert re.search(f"{re.escape(name)}: .*{re.escape(words)}", error)
    code, trained, error = cli(
        "train", nasty, *options, "--epochs", "1", "--max-bad", "0.3", "-o", file, "--json"
    )
    assert code == 0, error
    assert trained["metrics"]["train"]["count"] <= 51
    assert trained["metrics"]["test"]["count"] == 38
    assert trained["metrics"]["test"]["unusable"] == 1
    found = trained["metrics"]["data"]
    assert found["bad"] == {"train": 9, "test": 1}
    assert found["duplicates"]["exact"] == 1
    assert found["duplicates"]["pairs"][0]["name"] == "test/cat/twin.png"
    code, measured, error = cli("evaluate", file, nasty, "--json")
    assert code == 0, error
    assert measured["count"] == 38
    assert [image["name"] for image in measured["bad"]] == ["test/cat/truncated.png"]
    assert measured["top1"] == trained["metrics"]["test"]["top1"]
    code, measured, error = cli("evaluate", file, nasty, "--split", "train", "--json")
    assert code == 0, error
    assert measured["count"] == 36 + 24 - 1
    assert len(measured["bad"]) == 9


@pytest.mark.parametrize("name", REFUSED)
def test_what_a_data_set_must_not_have_is_refused(name, cli, forbidden, tmp_path):
    with pytest.raises(DataError, match=re.escape(REFUSED[name])):
        images.open(forbidden / name)
    file = tmp_path / "x.safetensors"
    code, _, error = cli("train", forbidden / name, "--network", "lenet5_relu", "-o", file)
    assert code == 2
    assert REFUSED[name] in error.replace("\n", " ")
    assert not file.exists()


def test_the_documentation_has_every_outcome(repository):
    text = (repository / "docs" / "images.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    for name, (outcome, _) in OUTCOMES.items():
        file = name.rpartition("/")[2].strip()
        rows = [
            line for line in text.splitlines() if line.startswith("| `") and f"`{file}`" in line
        ]
        [row] = rows
        assert f"| {outcome}" in row, name
    for name in REFUSED:
        assert f"| {name} |" in text
