import json

import pytest

from convforge.benchmark.engines import PEERS
from convforge.cli import measure


def test_the_engines_are_those_that_there_are():
    assert tuple(PEERS) == measure.ENGINES


def test_an_artifact_is_timed_with_its_layers(cli, artifact_file):
    result = cli("benchmark", artifact_file, "--rounds", "2", "--layers", "--threads", "2")
    assert (result.code, result.err) == (0, "")
    head, *lines = result.out.splitlines()
    assert head.startswith("digits.so: input 1x1x32x32, 416,520 multiply-adds, 2 threads, 2 runs")
    assert any(line.split()[:1] == ["convforge"] for line in lines)
    assert any("features.conv1" in line and "117,600" in line for line in lines)
    assert "without torch: an artifact holds no model that it could run" in result.out


def test_several_models_in_json(cli, artifact_file, classifier_file):
    result = cli(
        *("benchmark", artifact_file, classifier_file, "--rounds", "1"),
        *("--engine", "torch", "--json"),
    )
    assert result.err == ""
    artifact, classifier = json.loads(result.out)
    assert [one["engine"] for one in artifact["timings"]] == ["convforge"]
    assert [one["engine"] for one in classifier["timings"]] == ["convforge", "torch"]
    assert classifier["timings"][1]["error"] < 1e-5
    assert {"machine", "load_average", "convforge", "python", "date"} <= set(classifier)


def test_no_other_engine_is_timed_where_none_is_asked_for(cli, artifact_file):
    result = cli("benchmark", artifact_file, "--rounds", "1", "--engine", "none", "--json")
    assert json.loads(result.out)[0]["skipped"] == {}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--engine", "abacus"), ["'abacus' is not known", "onnxruntime"]),
        (("--threads", "0"), ["cannot run with 0 threads"]),
    ],
)
def test_options_out_of_range_are_refused(refused, artifact_file, options, words):
    refused("benchmark", artifact_file, "--rounds", "1", *options, words=words)
