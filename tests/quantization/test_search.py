from __future__ import annotations

import numpy as np
import pytest

from convforge.compiler.compilation import compile as build
from convforge.compiler.models import read_model
from convforge.errors import InputError
from convforge.evaluation import evaluate
from convforge.networks.catalog import create
from convforge.quantization import search
from convforge.quantization.examples import network_inputs, open_examples
from convforge.quantization.search import calibrate_with, choose, measure_bf16
from convforge.runtime import Runtime


@pytest.fixture
def model(trained):
    return read_model(trained)


def test_a_classifier_of_bytes_answers_as_the_one_of_float32(trained, tmp_path):
    path = tmp_path / "digits.so"
    artifact = build(trained, path, precision="int8", calibrate="digits")
    assert artifact.precision == "int8"
    record = artifact.quantization
    assert record["calibrated"] == 128
    assert record["agreement"] > 0.98
    assert record["float32"]["top1"] - record["int8"]["top1"] <= 0.003
    assert record["layers"] == 5
    runtime = Runtime(path)
    assert runtime.card.metrics["int8"] == record
    # what was measured is what anyone measures
    assert evaluate(runtime, "digits").top1 == record["int8"]["top1"]
    assert evaluate(trained, "digits").top1 == record["float32"]["top1"]
    kernels = {layer.kernel for layer in runtime.layers}
    assert {"maps_int8", "linear_int8"} <= kernels
    float32 = build(trained, tmp_path / "exact.so")
    assert float32.gain is None
    # all but the seal's and the card's own bytes
    sizes = {name: one["file_bytes"] for name, one in artifact.gain.items()}
    assert sizes["float32"] == pytest.approx(float32.file_bytes, abs=64)
    assert sizes["int8"] == pytest.approx(artifact.file_bytes, abs=4096)
    assert all(one["ms"] > 0 for one in artifact.gain.values())
    assert artifact.weight_bytes < 0.4 * float32.weight_bytes
    # maps of bytes are told as the numbers that they stand for
    exact = Runtime(tmp_path / "exact.so")
    x = next(network_inputs(open_examples("digits", trained.card).held_out, trained.card))
    names = {layer.name for layer in exact.layers} & {layer.name for layer in runtime.layers}
    assert len(names) >= 5
    for name in names:
        truth, found = exact.feature_maps(x, name), runtime.feature_maps(x, name)
        assert found.shape == truth.shape
        assert np.mean((found - truth) ** 2) < 0.01 * np.mean(truth**2)


def test_the_same_images_give_the_same_bytes(trained, tmp_path):
    files = [tmp_path / name for name in ("a.so", "b.so")]
    for file in files:
        build(trained, file, precision="int8", calibrate="digits")
    assert files[0].read_bytes() == files[1].read_bytes()


def test_layers_stay_as_they_are_until_little_is_lost(model, monkeypatch):
    losses = iter([0.1, 0.001])

    def compare(*_arguments):
        drop = next(losses)
        return {"float32": {"top1": 0.9}, "int8": {"top1": 0.9 - drop}}

    monkeypatch.setattr(search, "_compare", compare)
    choice = choose(model.graph, model.card, data="digits", max_drop=0.003)
    assert len(choice.options.keep) == 1
    assert choice.record["kept"] == list(choice.options.keep)


def test_a_network_that_loses_too_much_is_refused(model, monkeypatch):
    record = {"float32": {"top1": 0.9}, "int8": {"top1": 0.8}}
    monkeypatch.setattr(search, "_compare", lambda *_arguments: record)
    with pytest.raises(InputError, match=r"loses 10\.00 points of accuracy"):
        choose(model.graph, model.card, data="digits", max_drop=0.003)


def test_a_bare_network_is_calibrated_with_arrays(model, draw_inputs):
    choice = calibrate_with(model.graph, draw_inputs(4, 1, 32, 32))
    assert choice.record == {"calibrated": 4}
    assert choice.options.keep == ()
    assert choice.options.top == 255
    assert calibrate_with(model.graph, draw_inputs(4, 1, 32, 32), top=127).options.top == 127
    with pytest.raises(InputError, match="the network takes"):
        calibrate_with(model.graph, draw_inputs(4, 3, 32, 32))


def test_a_bare_network_of_batches_is_calibrated_with_batches(draw_inputs):
    inputs = draw_inputs(5, 1, 32, 32)
    ones, twos = (
        read_model(create("lenet5_relu"), input_shape=(batch, 1, 32, 32)).graph for batch in (1, 2)
    )
    one, two = (calibrate_with(graph, inputs).options.ranges for graph in (ones, twos))
    assert one.keys() == two.keys()
    with pytest.raises(InputError, match="there are no images"):
        calibrate_with(twos, inputs[:0])


@pytest.fixture
def draw_inputs():
    generator = np.random.default_rng(0)
    return lambda *shape: generator.standard_normal(shape, dtype=np.float32)


def test_a_classifier_of_bf16_answers_as_the_one_of_float32(trained, tmp_path):
    path = tmp_path / "digits.so"
    artifact = build(trained, path, precision="bf16", calibrate="digits")
    record = artifact.quantization
    assert record["agreement"] > 0.99
    runtime = Runtime(path)
    assert runtime.card.metrics["bf16"] == record
    assert evaluate(runtime, "digits").top1 == record["bf16"]["top1"]
    # maps of bf16 are told as the numbers that they are
    build(trained, tmp_path / "exact.so")
    exact = Runtime(tmp_path / "exact.so")
    x = next(network_inputs(open_examples("digits", trained.card).held_out, trained.card))
    rounded = [layer.name for layer in runtime.layers if layer.kernel == "conv_bf16"]
    assert rounded
    for name in rounded:
        truth, found = exact.feature_maps(x, name), runtime.feature_maps(x, name)
        assert 0 < np.mean((found - truth) ** 2) < 1e-4 * np.mean(truth**2)


def test_without_images_the_card_says_that_nothing_was_measured(trained, tmp_path):
    path = tmp_path / "digits.so"
    artifact = build(trained, path, precision="bf16")
    assert artifact.quantization is None
    assert Runtime(path).card.metrics["bf16"] == {"measured": False}


def test_a_network_that_loses_too_much_in_bf16_is_refused(model, monkeypatch):
    record = {"float32": {"top1": 0.9}, "bf16": {"top1": 0.8}}
    monkeypatch.setattr(search, "_compare", lambda *_arguments: record)
    with pytest.raises(InputError, match=r"bf16: loses 10\.00 points of accuracy"):
        measure_bf16(model.graph, model.card, data="digits", max_drop=0.003)
