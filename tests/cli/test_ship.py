import csv
import io
import json
import re
import shutil
import sys

import numpy as np
import pytest

from convforge.card import Card
from convforge.classifier import Classifier
from convforge.compiler.backend.target import native
from convforge.errors import InputError, list_failures
from convforge.loading import load
from convforge.runtime import Runtime

# -------------------------------------------------------------------------------------- compile


def test_compiling_writes_an_artifact_beside_the_classifier(cli, classifier_file, tmp_path):
    source = shutil.copy(classifier_file, tmp_path / "digits.safetensors")
    result = cli("compile", source)
    assert result.code == 0, result.err
    assert result.err == ""
    assert result.out.startswith(f"{tmp_path / 'digits.so'}, ")
    assert "weights" in result.out
    assert isinstance(load(tmp_path / "digits.so"), Runtime)
    assert {file.name for file in tmp_path.iterdir()} == {"digits.safetensors", "digits.so"}


def test_compiling_gives_json_for_machines(cli, classifier_file, tmp_path):
    file = tmp_path / "named.so"
    result = cli("compile", classifier_file, "--output", file, "--json")
    record = json.loads(result.out)
    assert result.err == ""
    assert record["file"] == str(file)
    assert record["file_bytes"] == file.stat().st_size
    assert record["arena_bytes"] >= record["arena_lower_bound"] > 0
    assert record["weight_bytes"] >= 4 * 61_706
    assert record["seconds"] > 0


def test_bytes_are_calibrated_measured_and_told(cli, refused, classifier_file, tmp_path):
    output = tmp_path / "bytes.so"
    words = ("compile", classifier_file, "-o", output, "--precision", "int8", "--force")
    told = cli(*words, "--calibrate", "digits", "--max-drop", "2%").out
    assert re.search(r"int8 on 450 images of test: \d\d\.\d\d%, float32 \d\d\.\d\d%", told)
    assert re.search(r"none of 5 layers left in float32\nfloat32 → int8 on this machine: \d", told)
    record = json.loads(cli(*words, "--calibrate", "digits", "--json", "--max-drop", "2%").out)
    assert record["precision"] == "int8"
    assert set(record["gain"]) == {"float32", "int8"}
    assert record["quantization"]["int8"]["count"] == 450
    refused(*words, words=["--precision int8 needs images", "give --calibrate"])


def test_bf16_is_measured_where_there_are_images(cli, classifier_file, tmp_path):
    output = tmp_path / "halves.so"
    words = ("compile", classifier_file, "-o", output, "--precision", "bf16", "--force")
    assert "was not measured" in cli(*words).out
    told = cli(*words, "--calibrate", "digits", "--max-drop", "2%").out
    assert re.search(r"bf16 on 450 images of test: \d\d\.\d\d%, float32 \d\d\.\d\d%", told)
    assert re.search(r"bf16 on 450 images of test", cli("describe", output).out)


def test_an_older_artifact_is_replaced(cli, classifier_file, artifact_file, tmp_path):
    file = shutil.copy(artifact_file, tmp_path / "digits.so")
    before = file.stat().st_ino
    assert cli("compile", classifier_file, "-o", file).code == 0
    assert file.stat().st_ino != before


def test_any_other_file_is_replaced_by_force_only(cli, refused, classifier_file, tmp_path):
    file = tmp_path / "libz.so"
    file.write_text("another library")
    refused("compile", classifier_file, "-o", file, words=[file, "no artifact", "--force"])
    assert file.read_text() == "another library"
    assert cli("compile", classifier_file, "-o", file, "--force").code == 0
    load(file)


def test_the_classifier_itself_is_never_replaced(refused, classifier_file, tmp_path):
    source = shutil.copy(classifier_file, tmp_path / "digits.so")
    content = source.read_bytes()
    refused("compile", source, "--force", words=[source, "is the model itself", "--output"])
    assert source.read_bytes() == content


def test_an_unknown_target_is_refused_naming_those_there_are(refused, classifier_file, tmp_path):
    output = tmp_path / "c.so"
    refused(
        *("compile", classifier_file, "-o", output, "--target", "toaster"),
        words=["target 'toaster'", "native"],
    )


def test_no_compiler_on_path_is_refused_with_what_to_install(
    refused, classifier_file, tmp_path, monkeypatch
):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setitem(sys.modules, "ziglang", None)
    refused(
        *("compile", classifier_file, "-o", tmp_path / "c.so"),
        words=["no C compiler", 'pip install "convforge[compile]"'],
    )
    assert list(tmp_path.iterdir()) == []


def test_a_compiler_that_is_none_is_refused(refused, classifier_file, tmp_path, monkeypatch):
    monkeypatch.setenv("CC", "no-such-compiler")
    refused(
        *("compile", classifier_file, "-o", tmp_path / "c.so"),
        words=["CC='no-such-compiler'", "unset CC"],
    )


def test_a_folder_that_cannot_be_written_is_refused_before_the_work(
    refused, classifier_file, tmp_path, monkeypatch
):
    monkeypatch.setattr("convforge.compiler.compilation.compile_graph", None)
    absent = tmp_path / "absent" / "c.so"
    refused("compile", classifier_file, "-o", absent, words=[absent, "does not exist"])
    refused("compile", classifier_file, "-o", tmp_path, words=[tmp_path, "is a folder"])
    # Where not even root may make a file.
    refused("compile", classifier_file, "-o", "/proc/self/c.so", words=["cannot be written"])


def test_a_missing_model_is_refused(refused, tmp_path):
    refused("compile", tmp_path / "absent", words=[tmp_path / "absent", "no such file"])


def test_a_networks_name_compiles_it_untrained_and_says_so(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = cli("compile", "lenet5", "--threads", "2", "--dump", "stages")
    assert result.code == 0, result.err
    assert result.out.startswith("lenet5.so, ")
    assert "weights are random" in result.out
    assert "--weights imagenet" in result.out
    assert load("lenet5.so").threads == 2
    assert (tmp_path / "stages" / "00_graph.txt").is_file()
    assert (tmp_path / "stages" / "c" / "artifact.c").is_file()
    refused = cli("predict", "lenet5.so", "scan.png")
    assert refused.code == 2


def test_weights_are_said_in_json_and_not_on_a_trained_model(cli, classifier_file, tmp_path):
    result = cli("compile", classifier_file, "-o", tmp_path / "a.so")
    assert "random" not in result.out
    record = json.loads(cli("compile", "lenet5", "-o", tmp_path / "b.so", "--json").out)
    assert (record["weights"], record["threads"], record["target"]) == (
        *("random", 1),
        native().name,
    )


def test_published_weights_give_a_classifier(cli, tmp_path, monkeypatch):
    seen = {}

    def build(model, destination, **options):
        seen.update(options, model=model)
        raise InputError("stopped here")

    monkeypatch.setattr("convforge.compiler.compilation.compile", build)
    cli("compile", "mobilenet_v2", "--weights", "imagenet", "-o", tmp_path / "m.so")
    assert (seen["model"], seen["weights"]) == ("mobilenet_v2", "imagenet")


@pytest.mark.parametrize("shape", ["", "1,3", "1,3,-2,4", "1x3x8x8", "a,b"])
def test_a_shape_is_whole_numbers(cli, tmp_path, shape):
    result = cli("compile", tmp_path / "net.onnx", "--shape", shape)
    assert result.code == 2
    wrong = shape != "1,3"
    assert ("expected whole numbers above 0" in result.err) is wrong, result.err


def test_a_page_is_written_with_its_examples_and_replaced(cli, refused, classifier_file, scans):
    source = shutil.copy(classifier_file, scans[0].with_name("digits.safetensors"))
    page = source.with_suffix(".html")
    arguments = ("compile", source, "--target", "html", "--precision", "float16")
    for scan in scans[:2]:
        result = cli(*arguments, "--example", scan)
        assert result.code == 0, result.err
        assert f"{page}, " in result.out
        assert "its weights are float16: in the self-test no output is off by more" in result.out
        assert f'"name": "{scan.stem}"' in page.read_text()
    page.write_text("<!doctype html><title>notes</title>")
    refused(*arguments, words="exists already and is no artifact of convforge")


# -------------------------------------------------------------------------------------- predict


def test_predicting_shows_the_classes_with_bars(cli, artifact_file, scans):
    result = cli("predict", artifact_file, scans[0], "--top", "3")
    assert (result.code, result.err) == (0, "")
    name, *rows = result.out.splitlines()
    expected = load(artifact_file).predict(scans[0], top=3)
    assert name == str(scans[0])
    assert [row.split()[0] for row in rows] == [one.label for one in expected]
    assert [row.split()[-1] for row in rows] == [f"{one.probability:.3%}" for one in expected]
    bars = [row.count("█") for row in rows]
    assert bars == sorted(bars, reverse=True)
    assert bars[0] > 0


def test_classifier_and_artifact_predict_alike(cli, classifier_file, artifact_file, scans):
    said = [
        json.loads(cli("predict", file, *scans, "--top", "10", "--json").out)
        for file in (classifier_file, artifact_file)
    ]
    for slow, fast in zip(*said, strict=True):
        assert slow["image"] == fast["image"]
        rows = [
            [one["probability"] for one in sorted(record["predictions"], key=lambda p: p["index"])]
            for record in (slow, fast)
        ]
        np.testing.assert_allclose(*rows, rtol=0, atol=1e-5)


def test_csv_has_a_line_a_class_and_image(cli, artifact_file, scans):
    result = cli("predict", artifact_file, *scans[:2], "--top", "2", "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(result.out)))
    assert [(row["image"], row["rank"]) for row in rows] == [
        (str(scan), rank) for scan in scans[:2] for rank in ("1", "2")
    ]
    expected = load(artifact_file).predict(scans[0], top=1)[0]
    assert rows[0]["label"] == expected.label
    assert np.float32(rows[0]["probability"]) == np.float32(expected.probability)


def test_json_is_one_record_an_image(cli, artifact_file, scans):
    for options in (("--json",), ("--format", "json")):
        (record,) = json.loads(cli("predict", artifact_file, scans[0], *options).out)
        assert record["image"] == str(scans[0])
        assert len(record["predictions"]) == 5
        assert set(record["predictions"][0]) == {"label", "index", "probability"}


@pytest.mark.parametrize("content", [b"", b"this is a letter", "cut"])
def test_a_damaged_image_is_named(refused, artifact_file, scans, tmp_path, content):
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(scans[0].read_bytes()[:60] if content == "cut" else content)
    said = refused("predict", artifact_file, bad, words=[bad])
    assert said.count("\n") == 1


def test_images_that_can_be_read_are_predicted_beside_those_that_cannot(
    cli, artifact_file, scans, tmp_path
):
    absent = tmp_path / "absent.png"
    result = cli("predict", artifact_file, absent, scans[0], "--top", "1", "--json")
    assert result.code == 2
    bad, good = json.loads(result.out)
    assert bad["image"] == str(absent)
    assert str(absent) in bad["error"]
    assert good["predictions"][0]["label"] == load(artifact_file).predict(scans[0])[0].label
    assert result.err.startswith("error: 1 of 2 images cannot be used:\n")
    assert str(absent) in result.err


def test_an_image_is_read_from_stdin_and_answers_go_to_stdout(
    cli, artifact_file, scans, monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(scans[0].read_bytes())))
    options = ("--format", "json", "-o", "-")
    piped, named = json.loads(cli("predict", artifact_file, "-", scans[0], *options).out)
    assert piped["image"] == "-"
    assert piped["predictions"] == named["predictions"]
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_image_on_stdin_is_told(refused, artifact_file, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))
    refused("predict", artifact_file, "-", words=["standard input: is empty"])
    refused(
        *("predict", artifact_file, "-", "--engine", "ray", "-o", "answers"),
        words=["other machines read files"],
    )
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    refused("predict", artifact_file, "-", words=["standard input is a terminal"])


@pytest.mark.parametrize("command", ["predict", "explain"])
def test_an_address_of_the_web_is_no_file(refused, artifact_file, tmp_path, command):
    options = [] if command == "predict" else ["-o", tmp_path / "why.png"]
    words = ["example.com/a.png: is an address, and only files are read"]
    refused(command, artifact_file, "https://example.com/a.png", *options, words=words)


def test_of_many_damaged_images_the_first_ten_are_named():
    failed = [f"{k}.png: is not an image" for k in range(25)]
    said = list_failures(failed, total=30)
    assert said.startswith("25 of 30 images cannot be used:")
    assert "9.png" in said
    assert "10.png" not in said
    assert said.endswith("and 15 more")


def test_a_classifier_whose_training_diverged_is_refused(refused, trained, scans, tmp_path):
    broken = tmp_path / "broken.safetensors"
    classifier = Classifier.load(save(trained, broken))
    for parameter in classifier.net.parameters():
        parameter.data.fill_(float("nan"))
    classifier.save(broken)
    refused("predict", broken, scans[0], words=[scans[0], "no numbers", "train it again"])


def save(classifier, path):
    classifier.save(path)
    return path


def test_names_of_classes_cannot_act_on_the_terminal(cli, trained, scans, tmp_path):
    names = ("[red]0", "\x1b[2J1", *map(str, range(2, 10)))
    card = Card(
        network=trained.card.network,
        arguments=trained.card.arguments,
        classes=names,
        preprocess=trained.preprocess,
    )
    file = save(Classifier(trained.net, card), tmp_path / "c.safetensors")
    said = cli("predict", file, scans[0], "--top", "10").out
    assert "[red]0" in said
    assert "\\x1b[2J1" in said
    assert "\x1b" not in said


def test_a_folder_is_predicted_into_a_file(cli, artifact_file, scans, tmp_path):
    output = tmp_path / "answers.csv"
    result = cli("predict", artifact_file, scans[0].parent, "--top", "1", "-o", output)
    assert (result.code, result.err) == (0, "")
    rows = list(csv.DictReader(io.StringIO(output.read_text())))
    assert [row["image"] for row in rows] == sorted(map(str, scans[0].parent.glob("*.png")))
    assert result.out.startswith(f"{len(rows)} images to {output}, ")


def test_every_format_says_the_same(cli, artifact_file, scans, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    absent = tmp_path / "absent.png"
    for form in ("csv", "json", "parquet"):
        output = tmp_path / f"answers.{form}"
        result = cli("predict", artifact_file, absent, *scans, "--top", "2", "-o", output)
        assert result.code == 2
        assert str(absent) in result.err
    records = json.loads((tmp_path / "answers.json").read_text())
    rows = list(csv.DictReader(io.StringIO((tmp_path / "answers.csv").read_text())))
    table = parquet.read_table(tmp_path / "answers.parquet").to_pylist()
    assert [record["image"] for record in records] == [row["image"] for row in table]
    assert table[0]["error"] == records[0]["error"]
    for record, row in zip(records[1:], table[1:], strict=True):
        assert [one["label"] for one in record["predictions"]] == [
            one["label"] for one in row["predictions"]
        ]
    labels = [one["label"] for record in records[1:] for one in record["predictions"]]
    assert [row["label"] for row in rows] == labels


def test_a_file_of_answers_is_replaced_only_by_force(cli, refused, artifact_file, scans, tmp_path):
    output = tmp_path / "answers.json"
    output.write_text("mine")
    arguments = ("predict", artifact_file, scans[0], "-o", output)
    refused(*arguments, words=[output, "exists already", "--force"])
    assert output.read_text() == "mine"
    assert cli(*arguments, "--force").code == 0
    assert len(json.loads(output.read_text())) == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("-o", "answers.txt"), ["answers.txt", "--format"]),
        (("-o", "answers.csv", "--format", "table"), ["answers.csv", "--format"]),
        (("--format", "parquet"), ["--output"]),
        (("-o", "absent/answers.csv"), ["absent", "create it first"]),
    ],
)
def test_an_output_that_makes_no_sense_is_refused(refused, artifact_file, scans, options, words):
    refused("predict", artifact_file, scans[0], *options, words=words)


def test_a_pattern_without_images_is_refused(refused, artifact_file, tmp_path):
    pattern = tmp_path / "*.jpg"
    refused("predict", artifact_file, pattern, words=[pattern, "no image matches"])


@pytest.mark.parametrize("options", [("--top", "0"), ("--format", "xml")])
def test_options_out_of_range_are_refused(cli, artifact_file, scans, options):
    result = cli("predict", artifact_file, scans[0], *options)
    assert (result.code, result.out) == (2, "")
    assert options[0] in result.err


def test_an_artifact_is_not_compiled_again(refused, artifact_file, tmp_path):
    refused("compile", artifact_file, words=["is a compiled artifact already"])
    words = [artifact_file, "is a compiled artifact or another library"]
    refused("compile", artifact_file, "-o", tmp_path / "x.so", words=words)
