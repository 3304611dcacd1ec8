import json
import os
import shutil
from pathlib import Path

import pytest

from convforge.classifier import Classifier
from convforge.cli.learn import _time_limit, data_name
from convforge.errors import Interrupted, RecipeError
from convforge.loading import load
from convforge.seal import ABI, seal
from convforge.training.recipes import default_recipe
from convforge.training.state import states

QUICK = ("--epochs", "1", "--batch-size", "4", "--lr", "0.01")


@pytest.fixture
def train(cli, tmp_path):
    """Train LeNet-5 for one epoch; gives the result and the file."""

    def command(data, *options, file=tmp_path / "trained.safetensors"):
        return cli("train", data, "-n", "lenet5_relu", "-o", file, *QUICK, *options), file

    return command


# ---------------------------------------------------------------------------------------- train


def test_training_saves_a_classifier_and_says_where_and_how_good(train, photos):
    result, file = train(photos)
    assert result.code == 0, result.err
    assert result.err == ""
    lines = result.out.splitlines()
    assert lines[0].startswith(f"lenet5_relu on {photos}, 2 classes, 1 epoch in ")
    assert lines[1].startswith("test: ")
    assert "95 % interval" in lines[1]
    assert lines[2].startswith(f"saved as {file}, ")
    assert Classifier.load(file).classes == ("dark", "light")


def test_training_gives_json_for_machines(train, photos):
    result, file = train(photos, "--json")
    record = json.loads(result.out)
    assert result.err == ""
    assert record["file"] == str(file)
    assert record["file_bytes"] == file.stat().st_size
    assert record["network"] == "lenet5_relu"
    assert record["classes"] == ["dark", "light"]
    assert record["recipe"]["epochs"] == 1
    assert record["recipe"]["batch_size"] == 4
    assert record["recipe"]["learning_rate"] == 0.01
    assert 0 <= record["metrics"]["test"]["top1"] <= 1
    assert record["data"]["fingerprint"] == Classifier.load(file).card.data["fingerprint"]
    assert "test" not in record["data"]["split"]


def test_the_file_is_called_like_the_data(cli, photos, monkeypatch):
    monkeypatch.chdir(photos.parent)
    result = cli("train", photos, "-n", "lenet5_relu", *QUICK)
    assert result.code == 0, result.err
    assert Path("photos.safetensors").is_file()


def test_data_has_a_name_wherever_it_lies(tmp_path, monkeypatch):
    (tmp_path / "cats.and.dogs").mkdir()
    monkeypatch.chdir(tmp_path / "cats.and.dogs")
    assert data_name("digits:3") == "digits"
    assert data_name(".") == "cats.and.dogs"
    assert data_name("../cats.and.dogs/") == "cats.and.dogs"


def test_a_classifier_that_is_there_is_replaced_by_force_only(train, refused, photos, tmp_path):
    file = tmp_path / "mine.safetensors"
    file.write_text("years of work")
    refused(
        *("train", photos, "-n", "lenet5_relu", "-o", file, *QUICK),
        words=[file, "exists", "--force"],
    )
    assert file.read_text() == "years of work"
    result, _ = train(photos, "--force", file=file)
    assert result.code == 0, result.err
    Classifier.load(file)


def test_options_go_over_the_recipe_file_and_that_over_the_networks_own(train, photos, tmp_path):
    file = tmp_path / "recipe.yaml"
    file.write_text("epochs: 7\nmomentum: 0.5\n")
    options = ("--opt", "adamw", "--sched", "cosine", "--weight-decay", "0.01", "--smoothing", "0")
    result, _ = train(photos, "--recipe", file, *options, "--json")
    assert result.code == 0, result.err
    recipe = json.loads(result.out)["recipe"]
    assert (recipe["epochs"], recipe["momentum"]) == (1, 0.5)
    assert (recipe["optimizer"], recipe["schedule"]) == ("adamw", "cosine")
    assert (recipe["weight_decay"], recipe["label_smoothing"]) == (0.01, 0)
    assert recipe["warmup"] == default_recipe("lenet5_relu").warmup


def test_an_unfinished_run_goes_on_by_resume_and_starts_again_by_force_only(
    train, refused, photos, tmp_path, monkeypatch
):
    file, folder = tmp_path / "c.safetensors", tmp_path / "c.run"
    monkeypatch.setattr(Classifier, "save", lambda *_: 1 / 0)  # the power fails before the end
    with pytest.raises(ZeroDivisionError):
        train(photos, file=file)
    monkeypatch.undo()
    assert len(states(folder)) == 1
    words = [folder, "has not ended", "--resume", "--force"]
    refused("train", photos, "-n", "lenet5_relu", "-o", file, *QUICK, words=words)
    refused(
        *("train", photos, "-n", "lenet5_relu", "-o", file, "--epochs", "0", "--force"),
        words=["epochs is 0"],
    )
    assert len(states(folder)) == 1
    result, _ = train(photos, "--resume", file=file)
    assert result.code == 0, result.err
    assert states(folder) == []
    left = ["log.csv", "recipe.json", "report.html"]
    assert sorted(path.name for path in folder.iterdir()) == left


def test_a_run_that_a_signal_stops_exits_with_its_number_and_says_how_to_go_on(
    cli, photos, tmp_path, monkeypatch
):
    def stopped(*_, **__):
        raise Interrupted("stopped after step 5; --resume goes on", signal=15)

    monkeypatch.setattr("convforge.training.trainer.train", stopped)
    result = cli("train", photos, "-n", "lenet5_relu", "-o", tmp_path / "c.safetensors")
    assert result.code == 143
    assert "--resume goes on" in result.err


def test_some_damaged_images_are_left_out_where_that_is_allowed(train, photos):
    damage(photos, kind="cut")
    result, _ = train(photos, "--max-bad", "50%", "--json")
    assert result.code == 0, result.err


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("90", 90), ("20m", 1200), ("1h30m", 5400), ("2h5s", 7205)]
)
@pytest.mark.parametrize("epochs", [None, "auto"])
def test_a_time_limit_is_read_as_people_write_it(text, seconds, epochs):
    assert _time_limit(epochs, text) == seconds


@pytest.mark.parametrize(
    ("epochs", "text", "words"),
    [
        ("auto", None, "expected --time-limit beside it"),
        ("3", "20m", "leave out --epochs 3"),
        (None, "soon", "expected a time such as 90s"),
        (None, "0s", "leaves no time"),
        (None, "", "expected a time such as 90s"),
        (None, "-5m", "expected a time such as 90s"),
    ],
)
def test_a_time_limit_that_is_none_is_refused(epochs, text, words):
    with pytest.raises(RecipeError, match=words):
        _time_limit(epochs, text)


def test_a_networks_own_arguments_reach_it(train, photos, cli, tmp_path):
    result = cli(
        *("train", photos, "-n", "mobilenet_v1", "-o", tmp_path / "m.safetensors", *QUICK),
        *("--input-size", "32", "--set", "width=0.25", "--json"),
    )
    assert result.code == 0, result.err
    arguments = json.loads(result.out)["arguments"]
    assert (arguments["width"], arguments["input_size"]) == (0.25, 32)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["-n", "lenet5_rleu"], ["no network is named 'lenet5_rleu'", "did you mean lenet5_relu"]),
        (["-n", "lenet5", "--epochs", "0"], ["epochs is 0", "from 1"]),
        (["-n", "lenet5", "--epochs", "many"], ["epochs is 'many'", "a whole number"]),
        (["-n", "lenet5", "--epochs", "²"], ["epochs is '²'", "a whole number"]),
        (["-n", "lenet5", "--epochs", "--5"], ["epochs is '--5'", "a whole number"]),
        (["-n", "lenet5", "--opt", "sdg"], ["recipe: --opt is 'sdg'", "sgd, momentum"]),
        (["-n", "lenet5", "--recipe", "quick"], ["recipe 'quick'", "fast, paper"]),
        (["-n", "lenet5", "--set", "width=2"], ["takes no argument 'width'"]),
        (["-n", "lenet5", "--set", "width"], ["--set width: expected NAME=VALUE"]),
        (["-n", "lenet5", "--input-size", "9"], ["9x9 pixels", "the smallest that works is"]),
        (["-n", "lenet5", "--weights", "absent.pth"], ["absent.pth"]),
        (["-n", "lenet5", "--set", "weights=x.pth"], ["weights is an option of its own"]),
        (["-n", "lenet5", "--set", "name=x"], ["takes no argument 'name'"]),
        (["-n", "lenet5", "--head-only"], ["--head-only fits the last layer to --weights"]),
        (["-n", "lenet5", "-o", "z.so"], ["z.so: a classifier", "name it z.safetensors"]),
    ],
)
def test_training_refuses_what_cannot_be(refused, tmp_path, options, words):
    refused("train", "digits", "-o", tmp_path / "c.safetensors", *options, words=words)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_the_folder_of_the_run_is_refused(refused, tmp_path):
    file = tmp_path / "c.safetensors"
    words = [file, "is the folder of the run too"]
    refused("train", "digits", "-n", "lenet5", "-o", file, "--run", file, words=words)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_a_missing_folder_is_refused(refused, classifier_file, tmp_path, command):
    folder = tmp_path / "photoes"
    (tmp_path / "photos").mkdir()
    arguments = {
        "train": (folder, "-n", "lenet5", "-o", tmp_path / "c.safetensors"),
        "evaluate": (classifier_file, folder),
    }[command]
    refused(command, *arguments, words=[folder, "no such data set", "did you mean photos?"])


def test_a_class_folder_without_images_is_refused(refused, photos, tmp_path):
    (photos / "empty").mkdir()
    refused(
        *("train", photos, "-n", "lenet5", "-o", tmp_path / "c.safetensors"),
        words=[photos / "empty", "a class folder without images"],
    )


def damage(photos, *, kind):
    picture = photos / "dark" / "0.png"
    content = picture.read_bytes()
    bad = photos / "dark" / "bad.jpg"
    bad.write_bytes({"cut": content[:200], "empty": b"", "text": b"this is a letter"}[kind])
    return bad


@pytest.mark.parametrize("kind", ["cut", "empty", "text"])
def test_a_damaged_image_stops_the_training_before_it_starts(refused, photos, tmp_path, kind):
    bad = damage(photos, kind=kind)
    refused(
        *("train", photos, "-n", "lenet5", "-o", tmp_path / "c.safetensors"),
        words=["1 of 13 images cannot be used", bad],
    )
    assert not (tmp_path / "c.safetensors").exists()


def unwritable(tmp_path, *, kind):
    if kind == "absent":
        return tmp_path / "absent"
    if kind == "kernel's":  # where not even root may make a file
        return Path("/proc/self")
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o500)
    return folder


UNWRITABLE = [
    "absent",
    "kernel's",
    pytest.param("locked", marks=pytest.mark.skipif(os.geteuid() == 0, reason="root may write")),
]


@pytest.mark.parametrize("kind", UNWRITABLE)
def test_a_folder_that_cannot_be_written_is_refused_before_the_training(
    refused, tmp_path, kind, monkeypatch
):
    monkeypatch.setattr("convforge.images.source.open", None)  # not even the data is opened
    folder = unwritable(tmp_path, kind=kind)
    words = [folder, "does not exist" if kind == "absent" else "cannot be written"]
    refused("train", "digits", "-n", "lenet5", "-o", folder / "c.safetensors", words=words)


# ------------------------------------------------------------------------------------- evaluate


def test_evaluating_shows_accuracy_with_interval_classes_and_confusion(cli, classifier_file):
    result = cli("evaluate", classifier_file, "digits")
    assert result.code == 0, result.err
    assert result.err == ""
    lines = result.out.splitlines()
    assert lines[0] == f"{classifier_file}, on test of digits"
    assert "of 450 images (95 % interval" in lines[1]
    assert "top-5" in lines[1]
    assert sum(line.strip().startswith("7  ") for line in lines) == 2  # in both tables
    assert "true class ↓, answer →" in result.out


def test_classifier_and_artifact_evaluate_alike(cli, classifier_file, artifact_file):
    records = []
    for file in (classifier_file, artifact_file):
        record = json.loads(cli("evaluate", file, "digits", "--json").out)
        assert record.pop("file") == str(file)
        assert record.pop("seconds") > 0
        records.append(record)
    assert records[0].pop("ece") == pytest.approx(records[1].pop("ece"), abs=1e-5)
    assert records[0] == records[1]
    assert records[0]["count"] == sum(map(sum, records[0]["confusion"])) == 450


def test_the_part_to_evaluate_on_can_be_named(cli, classifier_file):
    record = json.loads(
        cli("evaluate", classifier_file, "digits", "--split", "train", "--json").out
    )
    assert (record["split"], record["count"]) == ("train", 1347)


def test_what_fine_tuning_set_aside_is_a_part_to_evaluate_on(train, cli, photos, tmp_path):
    for image in photos.glob("*/*.png"):
        shutil.copy(image, image.with_name(f"again {image.name}"))
    _, file = train(photos)
    tuned = tmp_path / "tuned.safetensors"
    result, _ = train(photos, "--weights", file, "--json", file=tuned)
    card = json.loads(result.out)
    assert "val" not in card["data"]["split"], "its names are a long list"
    found = json.loads(cli("evaluate", tuned, photos, "--split", "val", "--json").out)
    val = card["metrics"]["val"]
    assert (found["count"], found["top1"]) == (val["count"], val["top1"])


def test_classes_that_the_classifier_lacks_are_refused(refused, classifier_file, photos):
    refused("evaluate", classifier_file, photos, words=["not trained on: dark, light; its 10"])


def test_a_classifier_that_was_cut_in_half_is_refused(refused, classifier_file, tmp_path):
    half = tmp_path / "half.safetensors"
    content = classifier_file.read_bytes()
    half.write_bytes(content[: len(content) // 2])
    for command in (("evaluate", half, "digits"), ("predict", half, "a.png"), ("compile", half)):
        refused(*command, words=[half, "damaged or cut short"])


def test_an_artifact_that_was_cut_in_half_is_refused(refused, artifact_file, tmp_path):
    half = tmp_path / "half.so"
    content = artifact_file.read_bytes()
    half.write_bytes(content[: len(content) // 2])
    for command in (("evaluate", half, "digits"), ("predict", half, "a.png")):
        refused(*command, words=[half, "cut short"])


def test_an_artifact_of_another_version_is_refused(refused, artifact_file, tmp_path):
    newer = tmp_path / "newer.so"
    newer.write_bytes(seal(artifact_file.read_bytes(), version=ABI + 1))
    for command in (("evaluate", newer, "digits"), ("predict", newer, "a.png")):
        refused(*command, words=[newer, f"version {ABI + 1}", f"version {ABI}", "compile it again"])


def test_a_file_of_another_kind_is_refused(refused, tmp_path):
    other = tmp_path / "letter.safetensors"
    other.write_text("this is a letter")
    refused("evaluate", other, "digits", words=[other, "not a classifier file"])
    refused("evaluate", tmp_path / "absent", "digits", words=[tmp_path / "absent", "no such file"])


def test_what_was_saved_and_copied_is_the_same_classifier(cli, classifier_file, tmp_path):
    copy = shutil.copy(classifier_file, tmp_path / "renamed")
    assert load(copy).card == load(classifier_file).card
    assert cli("evaluate", copy, "digits").code == 0


def test_corruptions_are_measured_beside_the_clean_images(cli, artifact_file):
    options = ("--corrupt", "gaussian_noise,contrast", "--severity", "5")
    record = json.loads(cli("evaluate", artifact_file, "digits", *options, "--json").out)
    found = record["corruptions"]
    assert found["severity"] == 5
    assert found["contrast"]["count"] == found["gaussian_noise"]["count"] == record["count"]
    assert found["gaussian_noise"]["top1"] < record["top1"]
    said = cli("evaluate", artifact_file, "digits", *options).out
    assert f"{found['gaussian_noise']['top1']:.2%}" in said
    assert "severity 5 of 5" in said


def test_an_unknown_corruption_is_refused_before_the_work(refused, artifact_file):
    refused("evaluate", artifact_file, "digits", "--corrupt", "rain", words=["rain", "contrast"])
