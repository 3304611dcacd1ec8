from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from convforge.benchmark import measurement
from convforge.benchmark.engines import PEERS, USUAL, Engine
from convforge.benchmark.measurement import LayerTiming, machine, measure
from convforge.errors import InputError, PackageError, UnsupportedError
from convforge.runtime import Runtime


def test_an_artifact_is_timed_alone(artifact_file):
    found = measure(artifact_file, rounds=2, threads=2, layers=True)
    assert (found.model, found.threads, found.rounds) == ("digits.so", 2, 2)
    assert found.input_shape == (1, 1, 32, 32)
    assert [one.engine for one in found.timings] == ["convforge"]
    assert found.timings[0].error is None
    assert 0 < found.timings[0].min_ms <= found.timings[0].median_ms
    assert found.skipped == dict.fromkeys(USUAL, "an artifact holds no model that it could run")
    layers = Runtime(artifact_file).layers
    assert [(one.name, one.kernel, one.macs) for one in found.layers] == [
        (one.name, one.kernel, one.macs) for one in layers
    ]
    assert found.macs == sum(one.macs for one in layers) == 416_520
    assert found.machine == machine()
    assert measure(artifact_file, rounds=1).layers == ()


def test_a_classifier_is_timed_beside_torch(classifier_file):
    found = measure(classifier_file, rounds=2, peers=("torch",))
    assert [one.engine for one in found.timings] == ["convforge", "torch"]
    assert all(0 <= one.error < 1e-5 for one in found.timings)
    assert found.skipped == {}


def test_engines_that_cannot_be_had_are_skipped_with_the_reason(classifier_file, monkeypatch):
    def missing(_model, _folder, *, threads):
        raise PackageError(f"not installed, {threads} threads or not")

    def unable(_model, _folder, *, threads):
        raise UnsupportedError("cannot")

    monkeypatch.setattr(
        measurement, "PEERS", {"one": missing, "two": unable, "torch": PEERS["torch"]}
    )
    found = measure(classifier_file, rounds=1, peers=("one", "two", "torch"))
    assert found.skipped == {"one": "not installed, 1 threads or not", "two": "cannot"}
    assert [one.engine for one in found.timings] == ["convforge", "torch"]


def test_an_engine_that_computes_something_else_shows(classifier_file, monkeypatch):
    def wrong(model, _folder, *, threads):
        return Engine("wrong", "1", lambda x: model.expected(x) * np.float32(1.5))

    monkeypatch.setattr(measurement, "PEERS", {"wrong": wrong})
    found = measure(classifier_file, rounds=1, peers=("wrong",))
    assert found.timings[1].error == pytest.approx(0.5, rel=1e-3)


def test_what_is_timed_takes_turns(monkeypatch):
    monkeypatch.setattr(measurement, "PAUSE_S", 0)
    runs = []
    spent = measurement.take_turns([partial(runs.append, name) for name in "ab"], rounds=3)
    warm = ["a"] * measurement.WARM_UP + ["b"] * measurement.WARM_UP
    assert runs == warm + ["a", "a", "b", "b"] * 3
    assert [len(times) for times in spent] == [3, 3]


def test_a_layer_without_time_or_arithmetic_has_no_speed():
    def layer(macs, ms):
        return LayerTiming(name="l", kernel="k", macs=macs, median_ms=ms, min_ms=ms)

    assert layer(10_000_000, 2.0).gflops == 10.0
    assert layer(0, 2.0).gflops == layer(10, 0.0).gflops == 0.0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"rounds": 0}, "rounds is 0; at least 1 round"),
        ({"peers": ("abacus",)}, "'abacus' is not known; .*torch, onnxruntime, openvino"),
    ],
)
def test_options_out_of_range_are_refused(artifact_file, options, words):
    with pytest.raises(InputError, match=words):
        measure(artifact_file, **options)


def test_what_cannot_be_compiled_is_refused_as_there(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        measure(tmp_path / "gone")
