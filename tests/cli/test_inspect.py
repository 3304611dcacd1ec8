import json
from xml.etree import ElementTree as ET

import pytest

from convforge.networks.catalog import CATALOG, create


def test_the_list_has_every_network_with_its_parameters(cli):
    result = cli("list")
    assert (result.code, result.err) == (0, "")
    rows = {line.split()[0]: line for line in result.out.splitlines() if line.strip()}
    for name, entry in CATALOG.items():
        assert f" {entry.parameters:,} " in rows[name]
        assert f" {entry.in_channels}x{entry.input_size}x{entry.input_size} " in rows[name]


def test_the_list_is_json_for_machines(cli):
    records = json.loads(cli("list", "--json").out)
    assert [record["name"] for record in records] == list(CATALOG)
    (resnet,) = [record for record in records if record["name"] == "resnet50"]
    assert resnet["parameters"] == 25_557_032
    assert resnet["macs"] == CATALOG["resnet50"].macs
    assert resnet["input_shape"] == [3, 224, 224]
    assert [weights["tag"] for weights in resnet["weights"]] == ["imagenet", "imagenet_v1"]
    assert resnet["weights"][1]["top1_percent"] == 76.13


def test_the_list_can_be_narrowed(cli):
    records = json.loads(cli("list", "VGG1", "--json").out)
    assert {record["name"].partition("_")[0] for record in records} == {
        "vgg11",
        "vgg13",
        "vgg16",
        "vgg19",
    }


def test_a_pattern_that_no_network_has_is_refused_with_what_is_near(refused):
    refused("list", "resnet5O", words=["no network is named 'resnet5O'", "resnet50"])


def test_a_network_is_described_layer_by_layer(cli):
    result = cli("describe", "lenet5")
    assert (result.code, result.err) == (0, "")
    (c3,) = [line for line in result.out.splitlines() if "features.c3.conv" in line]
    for cell in (
        "TableConv2d",
        "5x5",
        "10x10x16",
        "⌊(14+2·0\N{MINUS SIGN}5)/1⌋+1 = 10",
        "1,516",
        "240,000",
    ):
        assert f" {cell} " in c3
    assert "60,000 parameters" in result.out
    assert "LeCun et al. 1998" in result.out
    assert "deviations: the drawings of the digits" in result.out


def test_a_description_is_json_for_machines(cli):
    record = json.loads(cli("describe", "vgg16", "--json").out)
    assert record["parameters"] == 138_357_544
    assert record["output_shape"] == [1000]


def test_the_network_can_be_varied(cli):
    options = ("--input-size", "160", "--num-classes", "7", "--in-channels", "1")
    record = json.loads(
        cli("describe", "mobilenet_v1", *options, "--set", "width=0.5", "--json").out
    )
    net = create("mobilenet_v1", num_classes=7, in_channels=1, input_size=160, width=0.5)
    assert record["input_shape"] == [1, 160, 160]
    assert record["output_shape"] == [7]
    assert record["parameters"] == sum(p.numel() for p in net.parameters())


def test_every_layer_is_timed_when_asked(cli):
    result = cli("describe", "lenet5_relu", "--time")
    assert result.code == 0, result.err
    assert " ms" in result.out.splitlines()[1]
    assert "medians of 10 runs" in result.out
    record = json.loads(cli("describe", "lenet5_relu", "--time", "--json").out)
    assert record["timing"]["total_milliseconds"] > 0
    assert all(row["milliseconds"] > 0 for row in record["rows"])


@pytest.mark.parametrize("kind", ["classifier", "artifact"])
def test_a_file_is_described_with_what_it_was_trained_on(
    cli, classifier_file, artifact_file, kind, trained
):
    file = {"classifier": classifier_file, "artifact": artifact_file}[kind]
    result = cli("describe", file)
    assert result.code == 0, result.err
    lines = result.out.splitlines()
    assert lines[0] == f"{file}: lenet5_relu, 10 classes"
    assert lines[1] == "trained on digits"
    assert lines[2].startswith(f"test: {trained.card.metrics['test']['top1']:.2%} of 450 images")
    assert "features.conv1" in result.out


def test_page_and_drawing_are_written(cli, tmp_path):
    page, drawing = tmp_path / "lenet.html", tmp_path / "lenet.svg"
    result = cli("describe", "lenet5", "--html", page, "--svg", drawing)
    assert result.code == 0, result.err
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert ET.fromstring(drawing.read_text(encoding="utf-8")).tag.endswith("svg")


def test_a_description_never_lands_on_a_classifier(refused, classifier_file):
    before = classifier_file.read_bytes()
    refused("describe", "lenet5", "--html", classifier_file, words=[classifier_file, ".html"])
    refused("describe", "lenet5", "--svg", classifier_file, words=[classifier_file, ".svg"])
    assert classifier_file.read_bytes() == before


def test_a_page_that_cannot_be_written_is_refused_before_the_work(refused, tmp_path, monkeypatch):
    monkeypatch.setattr("convforge.cli.inspect._network", None)
    page = tmp_path / "absent" / "lenet.html"
    refused("describe", "lenet5", "--html", page, words=[page, "does not exist"])


def test_what_is_neither_a_network_nor_a_file_is_refused(refused, tmp_path):
    refused("describe", "lenet", words=["no network is named 'lenet'", "lenet5"])
    letter = tmp_path / "letter"
    letter.write_text("this is a letter")
    refused("describe", letter, words=[letter, "not a classifier file"])


def test_a_files_network_cannot_be_varied(refused, classifier_file):
    refused("describe", classifier_file, "--num-classes", "3", words=["--num-classes"])


def test_an_input_that_is_too_small_is_refused_with_the_smallest(refused):
    refused("describe", "lenet5", "--input-size", "9", words=["9x9", "the smallest that works is"])
