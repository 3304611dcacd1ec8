from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from convforge.cli import tables
from convforge.compiler.compilation import Artifact
from convforge.evaluation import measure
from convforge.images.dataset import Split
from convforge.prediction import Prediction


def text(*parts):
    console = Console(width=200, color_system=None, legacy_windows=False)
    with console.capture() as capture:
        console.print(*parts, sep="\n")
    return capture.get()


def evaluation(labels, answers, *, classes):
    part = Split(
        name="test",
        names=tuple(map(str, range(len(labels)))),
        labels=np.array(labels),
        read=lambda _: np.zeros((1, 1, 3), np.uint8),
    )
    rows = np.eye(len(classes), dtype=np.float32)[list(answers)]
    return measure([rows], part, classes=tuple(classes), uri="photos")


def test_an_evaluation_shows_shares_interval_and_speed():
    result = evaluation([0, 0, 0, 1], [0, 0, 1, 1], classes=["cat", "dog"])
    said = text(*tables.evaluation(result, title="c.so", seconds=0.5)).splitlines()
    assert said[0] == "c.so, on test of photos"
    # Wilson's interval of 3 in 4.
    assert said[1] == "top-1 75.00% of 4 images (95 % interval 30.06 to 95.44%) in 0.50 s"
    cat, dog = (
        next(line.split() for line in said if line.startswith(f"  {k}")) for k in ("cat", "dog")
    )
    assert cat == ["cat", "3", "100.0%", "66.7%", "80.0%"]
    assert dog == ["dog", "1", "50.0%", "100.0%", "66.7%"]


def test_a_class_that_was_never_the_answer_has_no_precision():
    result = evaluation([0, 1], [0, 0], classes=["cat", "dog"])
    said = text(*tables.evaluation(result, title="c.so"))
    (dog,) = [line.split() for line in said.splitlines() if line.startswith("  dog")][:1]
    assert dog == ["dog", "1", "-", "0.0%", "0.0%"]


def test_a_confusion_matrix_counts_true_classes_in_rows():
    result = evaluation([0, 0, 1, 2], [0, 1, 1, 2], classes=["a", "b", "c"])
    rows = [line.split() for line in text(tables.confusion(result)).splitlines()]
    assert ["a", "1", "1", "·"] in rows
    assert ["b", "·", "1", "·"] in rows
    assert ["c", "·", "·", "1"] in rows


def test_long_class_names_stand_in_the_rows_only():
    result = evaluation([0, 1], [0, 1], classes=["Newfoundland", "Golden Retriever"])
    said = text(tables.confusion(result))
    assert said.count("Newfoundland") == 1
    assert "1 Golden Retriever" in said


@pytest.mark.parametrize(("count", "shown"), [(20, True), (21, False)])
def test_a_confusion_matrix_is_shown_up_to_20_classes(count, shown):
    labels = list(range(count))
    result = evaluation(labels, labels, classes=[str(k) for k in labels])
    assert ("true class" in text(*tables.evaluation(result, title="c"))) == shown


def test_of_many_classes_those_with_the_lowest_f1_are_shown():
    labels = list(range(100))
    answers = [*range(1, 11), *range(10, 100)]  # the first ten are taken for their neighbours
    result = evaluation(labels, answers, classes=[f"class{k}" for k in labels])
    said = text(*tables.evaluation(result, title="c"))
    assert "the 30 lowest F1 of 100 classes" in said
    assert said.count("class") == 30 + len(["class", "classes", "over classes"])
    assert "class5 " in said


@pytest.mark.parametrize(
    ("share", "cells", "rest"), [(0.0, 0, ""), (1.0, 24, ""), (0.5, 12, ""), (1 / 192, 0, "▏")]
)
def test_a_bar_is_drawn_to_an_eighth_of_a_cell(share, cells, rest):
    said = text(*tables.predictions("a.png", [Prediction("cat", 0, share)]))
    assert said.count("█") == cells
    assert rest in said


def test_names_are_shown_as_they_are():
    said = text(*tables.predictions("[bold]a\n.png", [Prediction("[red]cat", 0, 1.0)]))
    assert said.splitlines()[0] == "[bold]a\\n.png"
    assert "[red]cat" in said


def test_a_comparison_shows_medians_and_how_often_the_second_fits_into_the_first(tmp_path):
    files = {"torch": tmp_path / "a", "artifact": tmp_path / "b"}
    files["torch"].write_bytes(bytes(2048))
    files["artifact"].write_bytes(bytes(1024))
    seconds = {"predict": ([3e-6, 1e-3, 5e-6], [2e-6, 1e-6, 9.0])}
    rows = [line.split() for line in text(tables.comparison(files, seconds=seconds)).splitlines()]
    assert ["torch", "artifact", "ratio"] in rows
    assert ["file", "2", "KiB", "1", "KiB", "2.00"] in rows
    assert ["predict,", "median", "of", "3", "5.0", "µs", "2.0", "µs", "2.50"] in rows


@pytest.mark.parametrize(
    ("number", "words"), [(0, "0 images"), (1, "1 image"), (1200, "1,200 images")]
)
def test_one_thing_is_no_plural(number, words):
    assert tables.count_of(number, "image") == words


RECORD = {
    "float32": {"top1": 0.9, "count": 450},
    "int8": {"top1": 0.9, "count": 450},
    "agreement": 1.0,
    "split": "test",
    "kept": ["conv1", "conv2"],
    "layers": 5,
}


def compiled(*, before, after, record=RECORD, path=Path("c.so"), target="x86_64-linux"):
    return Artifact(
        path=path,
        target=target,
        threads=1,
        weights="given",
        file_bytes=1,
        weight_bytes=1,
        arena_bytes=1,
        arena_lower_bound=1,
        precision="int8",
        quantization=record,
        gain={
            name: {"file_bytes": 1024 * kibibytes, "ms": ms}
            for name, (kibibytes, ms) in {"float32": before, "int8": after}.items()
        },
    )


@pytest.mark.parametrize(
    ("after", "gains"),
    [((374, 0.02), False), ((386, 0.04), False), ((373, 0.04), True), ((386, 0.01), True)],
)
def test_bytes_are_told_beside_float32_and_that_they_gain_nothing(after, gains):
    said = text(*tables.artifact(compiled(before=(374, 0.02), after=after), seconds=1))
    assert "; 2 of 5 layers left in float32" in said
    assert f"this machine: 374 KiB → {after[0]} KiB, 0.02 → {after[1]} ms an image" in said
    assert ("int8 gains nothing here" in said) != gains


def test_no_layer_left_is_none_and_older_records_do_not_say_of_how_many():
    for record, words in (
        ({**RECORD, "kept": []}, "; none of 5 layers left"),
        ({key: RECORD[key] for key in RECORD if key != "layers"}, "; 2 layers left"),
    ):
        artifact = compiled(before=(2, 2), after=(1, 1), record=record)
        assert words in text(*tables.artifact(artifact, seconds=1))


def test_what_lies_beside_an_artifact_is_told(tmp_path):
    def said(name, target):
        found = compiled(before=(2, 2), after=(1, 1), path=tmp_path / name, target=target)
        return text(*tables.artifact(found, seconds=1)).replace("\n", "")

    assert f"its loader is {tmp_path / 'c.js'}, with the types c.d.ts" in said("c.wasm", "wasm32")
    wheel = "c-1.0-py3-none-any.whl"
    assert "note:" not in said(wheel, "wheel")
    (tmp_path / "c.so").touch()
    assert f"`import c` finds {tmp_path / 'c.so'} instead" in said(wheel, "wheel")
