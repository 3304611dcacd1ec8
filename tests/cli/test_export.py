import json
import shutil
import sys

import pytest

from convforge.loading import load


@pytest.fixture
def source(classifier_file, tmp_path):
    return shutil.copy(classifier_file, tmp_path / "digits.safetensors")


def test_the_model_is_written_beside_the_classifier(cli, source, tmp_path):
    result = cli("export", source, "--format", "onnx")
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith(f"{tmp_path / 'digits.onnx'}, ")
    assert "images [N, 1, 32, 32]" in result.out
    assert "off by at most" in result.out
    assert {file.name for file in tmp_path.iterdir()} == {"digits.safetensors", "digits.onnx"}


def test_it_is_json_for_machines_and_compiles_to_the_classifier(cli, source, scans, tmp_path):
    record = json.loads(cli("export", source, "-o", tmp_path / "net.onnx", "--json").out)
    assert record["file"] == str(tmp_path / "net.onnx")
    assert record["format"] == "onnx"
    assert record["input_shape"] == [1, 32, 32]
    assert record["file_bytes"] == (tmp_path / "net.onnx").stat().st_size
    assert record["deviation"] <= record["limit"]
    assert cli("compile", tmp_path / "net.onnx").code == 0
    answer, expected = (load(file).predict(scans[0])[0] for file in (tmp_path / "net.so", source))
    assert answer.label == expected.label


def test_a_file_that_is_there_is_replaced_by_force_only(cli, refused, source, tmp_path):
    (tmp_path / "digits.onnx").write_text("another")
    refused("export", source, words=["digits.onnx: exists already", "--output", "--force"])
    assert cli("export", source, "--force").code == 0
    assert (tmp_path / "digits.onnx").stat().st_size > 10_000


def test_the_classifier_itself_is_never_replaced(refused, source):
    refused("export", source, "-o", source, "--force", words=["is the classifier itself"])


def test_an_artifact_and_another_format_are_refused(refused, artifact_file, source, tmp_path):
    output = tmp_path / "net.onnx"
    refused("export", artifact_file, "-o", output, words=["compiled artifact", "compiled from"])
    refused("export", source, "--format", "tflite", words=["no format 'tflite'; there is onnx"])
    assert not output.exists()


def test_a_missing_package_names_the_extra(refused, source, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    refused("export", source, words=['pip install "convforge[export]"'])
