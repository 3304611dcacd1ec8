import json
import sys

import pytest
from PIL import Image

from convforge.cli.explain import Method
from convforge.loading import load


def size(path):
    with Image.open(path) as picture:
        return picture.size


def test_the_answer_is_explained_in_words_and_in_a_picture(
    cli, classifier_file, scans, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    result = cli("explain", classifier_file, scans[0])
    assert (result.code, result.err) == (0, "")
    (answer,) = load(classifier_file).predict(scans[0], top=1)
    first, place, last = result.out.splitlines()
    assert first == f"{answer.label}  {answer.probability:.3%}, by grad-cam"
    assert place.startswith("warmest ")
    assert last.startswith("saved as 0-why.png, ")
    assert size("0-why.png")[0] > 800


def test_an_artifact_is_explained_without_torch(python, artifact_file, scans, tmp_path):
    said = python(
        "import sys\nfrom convforge.cli.main import run\n"
        "assert run(['explain', *sys.argv[1:]]) == 0\n"
        "assert 'torch' not in sys.modules",
        artifact_file,
        scans[0],
        "-o",
        tmp_path / "why.png",
    )
    assert ", by grad-cam\n" in said
    assert size(tmp_path / "why.png")[0] > 800


@pytest.mark.parametrize("method", ["grad-cam", "integrated-gradients", "occlusion"])
def test_it_is_json_for_machines(cli, classifier_file, scans, tmp_path, method):
    path = tmp_path / "why.svg"
    options = ("--method", method, "--class", "3", "-o", path, "--json")
    record = json.loads(cli("explain", classifier_file, scans[0], *options).out)
    assert record["file"] == str(path)
    assert (record["method"], record["target"]["label"]) == (method, "3")
    assert record["best"]["label"] == load(classifier_file).predict(scans[0])[0].label
    assert record["check"] is None
    assert (record["completeness"] is None) == (method != "integrated-gradients")
    assert path.exists()


def test_the_check_says_whether_the_map_depends_on_the_weights(
    cli, classifier_file, scans, tmp_path
):
    path = tmp_path / "why.png"
    result = cli("explain", classifier_file, scans[0], "-o", path, "--check")
    assert "check: rank correlation " in result.out
    assert "with 5 networks of random weights: the map depends on what" in result.out
    again = cli("explain", classifier_file, scans[0], "-o", path, "--check", "--json", "--force")
    record = json.loads(again.out)["check"]
    assert record["passed"] is True
    assert f"{record['correlation']:.2f} with 5" in result.out


def test_another_class_is_told_beside_the_answer(cli, classifier_file, scans, tmp_path):
    options = ("--class", "9", "--method", "integrated-gradients", "-o", tmp_path / "why.png")
    result = cli("explain", classifier_file, scans[0], *options)
    assert result.out.startswith("9  ")
    assert "its answer is " in result.out
    assert "attributions sum to " in result.out


@pytest.mark.parametrize("method", ["filters", "features"])
def test_filters_and_features_are_pictures_of_the_network(
    cli, classifier_file, scans, tmp_path, monkeypatch, method
):
    monkeypatch.chdir(tmp_path)
    image = [] if method == "filters" else [scans[0]]
    result = cli("explain", classifier_file, *image, "--method", method)
    assert (result.code, result.err) == (0, "")
    name = f"{'digits' if method == 'filters' else '0'}-{method}.png"
    assert result.out.startswith(f"saved as {name}, ")
    assert min(size(name)) > 100
    record = json.loads(
        cli("explain", classifier_file, *image, "--method", method, "--force", "--json").out
    )
    assert (record["file"], record["method"]) == (name, method)


def test_the_methods_are_those_of_the_library():
    from convforge.analysis.explanation import METHODS

    assert [one.value for one in Method] == [*METHODS, "filters", "features"]


# ------------------------------------------------------------------------------- refusals


def test_gradients_and_weights_of_an_artifact_are_refused(refused, artifact_file, scans, tmp_path):
    output = ("-o", tmp_path / "why.png")
    for method in ("integrated-gradients", "features"):
        refused(
            "explain", artifact_file, scans[0], "--method", method, *output,
            words=["digits.so: a compiled artifact", "the classifier that it was compiled from"],
        )  # fmt: skip
    refused("explain", artifact_file, "--method", "filters", *output, words=["compiled artifact"])
    refused("explain", artifact_file, scans[0], "--check", *output, words=["--check draws"])
    assert not list(tmp_path.iterdir())


def test_what_does_not_go_together_is_refused(refused, classifier_file, scans, tmp_path):
    output = ("-o", tmp_path / "why.png")
    refused("explain", classifier_file, *output, words=["needs an image"])
    refused(
        "explain", classifier_file, scans[0], "--method", "filters", *output,
        words=["need no image"],
    )  # fmt: skip
    for option in (("--check",), ("--class", "3")):
        refused(
            "explain", classifier_file, scans[0], "--method", "features", *option, *output,
            words=["features are of all classes alike", "grad-cam"],
        )  # fmt: skip


def test_unknown_classes_files_and_images_are_refused(refused, classifier_file, scans, tmp_path):
    output = ("-o", tmp_path / "why.png")
    refused(
        "explain", classifier_file, scans[0], "--class", "cat", *output, words=["no class 'cat'"]
    )
    refused("explain", tmp_path / "gone.so", scans[0], *output, words=["gone.so: no such file"])
    refused("explain", classifier_file, tmp_path / "gone.png", *output, words=["no such file"])
    assert not list(tmp_path.iterdir())


def test_a_picture_that_cannot_be_written_is_refused_before_the_work(refused, scans, tmp_path):
    gone = tmp_path / "gone.so"
    refused("explain", gone, scans[0], "-o", tmp_path / "why.jpg", words=["ends in .png, .svg"])
    (tmp_path / "why.png").write_text("mine")
    refused("explain", gone, scans[0], "-o", tmp_path / "why.png", words=["--force"])
    assert (tmp_path / "why.png").read_text() == "mine"


def test_a_missing_package_names_the_extra(refused, classifier_file, scans, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    refused(
        "explain", classifier_file, scans[0], "-o", tmp_path / "why.png",
        words=['matplotlib', 'pip install "convforge[explain]"'],
    )  # fmt: skip
