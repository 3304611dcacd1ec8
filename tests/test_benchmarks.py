"""The benchmarks that take photos run, on few and small ones, and print lines that can be read."""

import importlib.util
import json
import subprocess
import sys
import tarfile

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.slow  # whole trainings, in processes of their own

SYSTEMS = ["convforge", "timm"]


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A folder of two classes, 16 photos to train on and 8 held out."""
    folder = tmp_path_factory.mktemp("photos")
    draw = np.random.default_rng(0)
    for part, count in (("train", 8), ("val", 4)):
        for label in ("dark", "light"):
            (folder / part / label).mkdir(parents=True)
            for number in range(count):
                pixels = draw.integers(0, 128, (80, 70, 3), np.uint8) + 127 * (label == "light")
                file = folder / part / label / f"{number}.jpg"
                Image.fromarray(pixels.astype(np.uint8)).save(file)
    return folder


@pytest.fixture(scope="module")
def tar(photos, tmp_path_factory):
    file = tmp_path_factory.mktemp("tar") / "photos.tar"
    with tarfile.open(file, "w") as archive:
        archive.add(photos, "photos")
    return file


def lines(repository, name, *words):
    command = [sys.executable, repository / "benchmarks" / name, *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def peers(repository, task, tar, *words):
    small = ["--photos", 16, "--held-out", 8, "--input-size", 32, "--batch-size", 4]
    networks = ["--networks", "mobilenet_v2", "--systems", *SYSTEMS]
    return lines(repository, "peers.py", task, tar, *small, *networks, "--rounds", 1, *words)


def test_peers_gives_images_a_second_of_each_and_how_many_times_as_fast_convforge_is(
    repository, tar
):
    found = peers(repository, "speed", tar, "--epochs", 3)
    assert [line["system"] for line in found] == SYSTEMS
    for line in found:
        assert len(line["all"]) == 2
        assert min(line["all"]) <= line["images_per_second"] <= max(line["all"])
        assert line["start_s"] > 0
    ours, theirs = (line["images_per_second"] for line in found)
    assert found[1]["convforge_over_this"] == pytest.approx(ours / theirs, abs=0.01)
    assert found[0]["settings"]["small_images"] == 0


def test_peers_ends_a_training_that_has_reached_the_accuracy(repository, tar):
    found = peers(repository, "accuracy", tar, "--epochs", 500, "--threshold", 0.3)
    for line in found:
        assert line["seconds"] == [line["ends"][0][-1]]
        assert line["top1"][0][-1] >= 0.3
        assert all(top1 < 0.3 for top1 in line["top1"][0][:-1])


def test_peers_ends_a_training_that_takes_too_long(repository, tar):
    words = ("--epochs", 100_000, "--threshold", 1.1, "--cap", 0.3)
    for line in peers(repository, "accuracy", tar, *words):
        assert line["seconds"] == [None]
        assert 0 < line["ends"][0][-1] < 60 * 0.3 + 1


def test_a_course_has_the_rates_of_the_epochs_after_the_first(repository):
    path = repository / "benchmarks" / "peers.py"
    spec = importlib.util.spec_from_file_location("peers", path)
    script = importlib.util.module_from_spec(spec)
    sys.modules["peers"] = script
    try:
        spec.loader.exec_module(script)
    finally:
        del sys.modules["peers"]
    course = script.Course()
    course.take({"versions": {"it": "1"}}, seconds=1.0)
    for seconds, top1 in ((10.0, 0.1), (12.0, 0.7), (16.0, 0.6)):
        course.take({"images": 80, "top1": top1}, seconds=seconds)
    assert course.rates() == [40.0, 20.0]
    assert course.reached(0.6) == 12.0
    assert course.reached(0.8) is None


@pytest.mark.parametrize("source", ["photos", "memory"])
def test_gpu_compares_the_loops_and_the_losses_of_the_first_steps(repository, photos, source):
    data = [photos / "train"] if source == "photos" else ["--in-memory", 8]
    small = ["--device", "cpu", "--batch-size", 4, "--input-size", 64, "--epochs", 2]
    first, *systems = lines(
        repository, "gpu.py", *data, *small, "--rounds", 1, "--networks", "mobilenet_v2"
    )
    assert len(first["losses_on_device"]) == 3
    assert abs(first["losses_on_device"][0] - first["losses_on_processor"][0]) < 1e-4
    assert first["largest_difference"] < 0.1
    assert [line["system"].partition(" ")[0] for line in systems] == ["convforge", "timm", "timm"]
    assert all(line["images_per_second"] > 0 for line in systems)


def test_fashion_mnist_measures_the_test_part_once(repository, tmp_path):
    draw = np.random.default_rng(0)
    for part, count in (("train", 96), ("t10k", 32)):
        labels = np.arange(count, dtype=np.uint8) % 2
        pixels = draw.integers(0, 60, (count, 28, 28), np.uint8) + 180 * labels[:, None, None]
        for kind, array in (("images", pixels.astype(np.uint8)), ("labels", labels)):
            header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">i4").tobytes()
            name = f"{part}-{kind}-idx{array.ndim}-ubyte"
            (tmp_path / name).write_bytes(header + array.tobytes())
    options = ("--epochs", 6, "--batch-size", 16, "--learning-rate", 0.01)
    (found,) = lines(repository, "fashion_mnist.py", tmp_path, *options)
    assert found["top1"] > 0.9
    assert found["interval"][0] <= found["top1"] <= found["interval"][1]
    assert found["recipe"]["augment"]["flip"] is True
    assert 0 < found["training_seconds"] < found["seconds"]


def test_serving_asks_every_server_for_the_same_and_soaks_one(repository):
    small = ("--levels", 1, 3, "--seconds", 0.5, "--rounds", 1, "--workers", 1)
    found = lines(repository, "serving.py", *small)
    assert [line["system"] for line in found] == ["convforge", "torch", "onnxruntime"]
    for line in found:
        assert line["difference"] < 1e-4
        assert set(line["by_level"]) == {"1", "3"}
        for level in line["by_level"].values():
            assert level["requests_per_s"] > 0
            assert level["p99_ms"] >= level["p50_ms"] > 0
        assert line["peak_bytes"] >= line["rss_bytes"] > 0
    (soaked,) = lines(repository, "serving.py", "--soak", 0.05, "--workers", 1, "--queue", 1)
    assert soaked["well"]
    assert soaked["asked"] == soaked["answered"] + soaked["refused"]
    assert soaked["refused"] > 0


def test_scaling_holds_the_search_against_width_alone(repository):
    small = ("--network", "resnet20", "--max-ms", 1, "--max-train", 120, "--seeds", 0)
    found = lines(repository, "scaling.py", "digits", *small)
    assert [line["method"] for line in found] == ["all mixes", "width alone"]
    for line in found:
        assert 0 < line["ms"] <= line["max_ms"]
        assert line["ms_again"] > 0
        assert line["top1"] > 0.5
    assert found[1]["winner"]["mix"] == "width"
    assert found[1]["plan"]["rungs"] == []


def test_studies_writes_a_chapter_a_picture_and_the_numbers(repository, tmp_path):
    index = tmp_path / "index.md"
    index.write_text("before\n<!-- verdicts -->\nold\n<!-- end -->\nafter\n")
    small = ("--data", "digits", "--images", 40, "--epochs", 1, "--seeds", 2)
    (found,) = lines(repository, "studies.py", "padding", *small, "--folder", tmp_path)
    assert found["study"] == "padding-digits"
    assert len(found["verdicts"]) == 3
    names = {"index.md", *(f"padding-digits.{suffix}" for suffix in ("md", "png", "json"))}
    assert {file.name for file in tmp_path.iterdir()} == names
    text = index.read_text(encoding="utf-8")
    assert "old" not in text
    assert text.startswith("before\n")
    assert text.endswith("<!-- end -->\nafter\n")
    for claim, verdict in found["verdicts"].items():
        assert f"| {claim} | **{verdict}** |" in text


def test_precision_times_every_engine_and_measures_what_a_classifier_loses(
    repository, classifier_file
):
    small = ("--networks", "lenet5_relu", "--rounds", 3, "--engines", "convforge float32")
    (found,) = lines(repository, "precision.py", *small)
    names = {f"convforge {kind}" for kind in ("int8", "bf16", "float32")}
    assert found["engines"].keys() == names
    assert 0 < found["engines"]["convforge int8"]["error"] < 0.05
    assert 0 < found["engines"]["convforge bf16"]["error"] < 0.01
    assert found["engines"]["convforge float32"]["error"] < 1e-5
    for kind in ("int8", "bf16"):
        words = ("--classifier", classifier_file, "--photos", "digits", "--precision", kind)
        (found,) = lines(repository, "precision.py", *words)
        assert found["network"] == "lenet5_relu"
        assert found["accuracy"][kind]["count"] == 450
