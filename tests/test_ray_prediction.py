"""Every image once in the parts, whatever fails, and the same answers as without Ray."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from convforge import ray_prediction
from convforge.answers import predict_images
from convforge.cli.main import run
from convforge.errors import InputError, OutputError, PackageError
from convforge.images.paths import open_paths, read_names
from convforge.loading import load
from convforge.ray_prediction import predict_on_ray

pytest.importorskip("pyarrow")


class Stopped(Exception):
    """Stands for the end of the process."""


@pytest.fixture
def pictures(tmp_path, monkeypatch):
    """Nine pictures, of which the fifth is no picture; their names, below the working folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    generator = np.random.default_rng(0)
    for index in range(9):
        pixels = generator.integers(0, 256, (8, 8), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "in" / f"{index}.png")
    (tmp_path / "in" / "4.png").write_bytes(b"")
    return open_paths(["in"]).names


@pytest.fixture
def here(monkeypatch, tmp_path):
    """Chunks are answered in this process; the numbers of those that were."""
    pytest.importorskip("ray")
    answered = []

    def in_this_process(ray, model, suffix, chunks, left, *, top):
        # A library that is open must not be written over.
        file = Path(tempfile.mkdtemp(dir=tmp_path), f"sent{suffix}")
        file.write_bytes(model)
        for number in left:
            part = read_names(chunks[number], below=Path.cwd())
            answered.append(number)
            yield number, list(predict_images(load(file), part, top=top)), "here"

    monkeypatch.setattr(ray_prediction, "_answered", in_this_process)
    return answered


def rows(folder):
    from pyarrow import parquet

    parts = sorted(folder.glob("*.parquet"))
    return [row for part in parts for row in parquet.read_table(part).to_pylist()]


def expected(file, names):
    """What the command without Ray has for the same images."""
    found = [one.to_json() for one in predict_images(load(file), open_paths(names), top=5)]
    return [{"image": None, "error": None, "predictions": [], **one} for one in found]


def same(found, wanted):
    def rounded(row):
        return [{**one, "probability": np.float32(one["probability"])} for one in row]

    assert [row["image"] for row in found] == [row["image"] for row in wanted]
    assert [row["error"] for row in found] == [row["error"] for row in wanted]
    for one, other in zip(found, wanted, strict=True):
        assert rounded(one["predictions"] or []) == rounded(other["predictions"])


def test_parts_have_the_answers_of_the_command_without_ray(here, pictures, artifact_file):
    done = predict_on_ray(artifact_file, pictures, Path("out"), chunk=4)
    same(rows(Path("out")), expected(artifact_file, pictures))
    assert (done.count, done.found, done.machines) == (9, 0, 1)
    assert done.failed == (
        "in/4.png: is empty; expected one of JPEG, PNG, BMP, GIF, WEBP, TIFF, PPM",
    )
    assert sorted(path.name for path in Path("out").iterdir()) == [
        *(f"part-0000{number}.parquet" for number in range(3)),
        "plan.json",
    ]


def test_a_call_that_was_stopped_goes_on_with_what_is_missing(here, pictures, artifact_file):
    def progress(done, total, message):
        if done == 4:
            raise Stopped

    with pytest.raises(Stopped):
        predict_on_ray(artifact_file, pictures, Path("out"), chunk=4, progress=progress)
    kept = Path("out/part-00000.parquet").stat().st_mtime_ns
    seen = []
    done = predict_on_ray(
        artifact_file,
        pictures,
        Path("out"),
        chunk=4,
        progress=lambda done, total, message: seen.append((done, total)),
    )
    assert here == [0, 1, 2]
    assert seen == [(8, 9), (9, 9)]
    assert (done.count, done.found) == (9, 4)
    assert len(done.failed) == 1
    assert Path("out/part-00000.parquet").stat().st_mtime_ns == kept
    same(rows(Path("out")), expected(artifact_file, pictures))


def test_a_call_that_is_done_does_nothing_more(here, pictures, artifact_file):
    predict_on_ray(artifact_file, pictures, Path("out"), chunk=4)
    done = predict_on_ray(artifact_file, pictures, Path("out"), chunk=4)
    assert here == [0, 1, 2]
    assert (done.found, done.machines, len(done.failed)) == (9, 0, 1)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"names": ("in/0.png",)}, "images"),
        ({"top": 1}, "top"),
        ({"chunk": 2}, "chunk"),
    ],
)
def test_another_call_s_parts_are_refused(here, pictures, artifact_file, change, word):
    predict_on_ray(artifact_file, pictures, Path("out"), chunk=4)
    given = {"names": pictures, "chunk": 4, **change}
    with pytest.raises(OutputError, match=rf"another call.*{word}.*--force"):
        predict_on_ray(artifact_file, given.pop("names"), Path("out"), **given)


def test_a_folder_with_other_files_is_refused_and_force_removes_parts_alone(
    here, pictures, artifact_file
):
    Path("out").mkdir()
    Path("out/notes.txt").write_text("mine")
    with pytest.raises(OutputError, match="name a new folder"):
        predict_on_ray(artifact_file, pictures, Path("out"))
    Path("out/notes.txt").unlink()
    predict_on_ray(artifact_file, pictures, Path("out"), chunk=4)
    Path("out/notes.txt").write_text("mine")
    kept = sorted(Path("out").iterdir())
    with pytest.raises(InputError, match="no such file"):
        predict_on_ray(Path("none.so"), pictures, Path("out"), earlier="remove")
    assert sorted(Path("out").iterdir()) == kept
    done = predict_on_ray(artifact_file, pictures, Path("out"), chunk=9, earlier="remove")
    assert done.found == 0
    left = ["notes.txt", "part-00000.parquet", "plan.json"]
    assert sorted(path.name for path in Path("out").iterdir()) == left


def test_what_is_missing_is_named(pictures, artifact_file, monkeypatch):
    with pytest.raises(InputError, match=r"none\.so: no such file"):
        predict_on_ray(Path("none.so"), pictures, Path("out"))
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(PackageError, match=r"needs ray.*convforge\[ray\]"):
        predict_on_ray(artifact_file, pictures, Path("out"))


def test_the_command_writes_a_folder_and_names_what_failed(here, pictures, artifact_file, capsys):
    command = ["predict", str(artifact_file), "in", "--engine", "ray"]
    for refused in ([], ["-o", "out", "--json"], ["-o", "out", "--format", "csv"]):
        assert run([*command, *refused]) == 2
        assert "writes Parquet parts into a folder" in capsys.readouterr().err
    assert run([*command, "-o", "out"]) == 2
    said = capsys.readouterr()
    assert "9 images to out" in said.out
    assert "on 1 machine" in said.out
    assert "in/4.png: is empty" in said.err
    assert run([*command, "-o", "out"]) == 2
    assert "9 images to out, 9 of them before" in capsys.readouterr().out
    assert run([*command, "-o", "out", "--top", "1", "--force"]) == 2
    assert len(rows(Path("out"))[0]["predictions"]) == 1


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # Ray's own
def test_a_machine_that_dies_midway_costs_no_image_and_doubles_none(
    pictures, artifact_file, monkeypatch, tmp_path
):
    """Two machines of one core each; one is killed when a quarter of 30 parts are done."""
    ray = pytest.importorskip("ray")
    cluster_utils = pytest.importorskip("ray.cluster_utils")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    generator = np.random.default_rng(1)
    for index in range(100, 211):
        pixels = generator.integers(0, 256, (600, 600), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "in" / f"{index}.png")
    names = open_paths(["in"]).names
    machine = {"num_cpus": 1, "object_store_memory": 100 * 1024**2}
    cluster = cluster_utils.Cluster(
        initialize_head=True, head_node_args={**machine, "include_dashboard": False}
    )
    try:
        dying = cluster.add_node(**machine)
        ray.init(address=cluster.address, log_to_driver=False, logging_level="error")
        parts = []

        def progress(done, total, message):
            parts.append(done)
            if len(parts) == 8:
                cluster.remove_node(dying, allow_graceful=False)

        done = predict_on_ray(artifact_file, names, Path("out"), chunk=4, progress=progress)
    finally:
        ray.shutdown()
        cluster.shutdown()
    assert len(parts) == 30
    assert (done.count, done.found, done.machines) == (120, 0, 2)
    same(rows(Path("out")), expected(artifact_file, names))
    assert json.loads(Path("out/plan.json").read_text())["count"] == 120


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # Ray's own
def test_what_no_machine_can_run_is_said_with_the_reason(pictures, artifact_file, monkeypatch):
    ray = pytest.importorskip("ray")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    Path("broken.so").write_bytes(artifact_file.read_bytes()[:-100])
    monkeypatch.setattr(ray_prediction, "load", lambda file: None)  # here all is well
    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level="error")
    try:
        with pytest.raises(InputError, match=r"no machine could answer: .*its seal is missing"):
            predict_on_ray(Path("broken.so"), pictures, Path("out"), chunk=4)
    finally:
        ray.shutdown()
