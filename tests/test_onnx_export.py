from __future__ import annotations

import json
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from convforge import onnx_export
from convforge.card import METADATA_KEY, Card
from convforge.classifier import Classifier
from convforge.compiler.compilation import compile as build
from convforge.compiler.models import read_model
from convforge.errors import (
    ClassifierError,
    InputError,
    OutputError,
    PackageError,
    UnsupportedError,
)
from convforge.images.preprocess import Preprocess
from convforge.loading import load
from convforge.networks.catalog import CATALOG, create
from convforge.onnx_export import export

RGB = Preprocess(resize=40, crop=(32, 32), mean=(128.0,) * 3, std=(64.0,) * 3)


@pytest.fixture(scope="module")
def exported(trained, tmp_path_factory):
    """What was said of the file, which is its `path`."""
    return export(trained, tmp_path_factory.mktemp("export") / "digits.onnx")


def test_the_file_computes_the_classifiers_logits_of_any_number_of_images(trained, exported):
    session = onnxruntime.InferenceSession(exported.path, providers=["CPUExecutionProvider"])
    (source,), (result,) = session.get_inputs(), session.get_outputs()
    assert (source.name, result.name) == ("images", "logits")
    assert source.shape[1:] == [1, 32, 32]
    assert isinstance(source.shape[0], str)
    for count in (1, 2, 7):
        x = np.random.default_rng(count).standard_normal((count, 1, 32, 32), np.float32)
        (found,) = session.run(["logits"], {"images": x})
        np.testing.assert_allclose(found, trained.logits(x), rtol=0, atol=1e-4)


def test_what_was_measured_is_said(trained, exported):
    assert exported.file_bytes == exported.path.stat().st_size
    assert 0 <= exported.deviation <= exported.limit < 0.1
    assert (exported.format, exported.classes) == ("onnx", 10)
    assert exported.input_shape == (1, 32, 32)
    assert exported.opset == onnx_export.OPSET
    assert exported.engine == f"onnxruntime {onnxruntime.__version__}"


def test_the_file_carries_the_card_and_the_names(trained, exported):
    model = onnx.load(exported.path)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert Card.loads(metadata[METADATA_KEY], origin="", error=InputError) == trained.card
    assert json.loads(metadata["names"]) == list(trained.classes)
    onnx.checker.check_model(model, full_check=True)


def test_the_file_says_nothing_of_the_machine_that_wrote_it(exported, repository):
    content = exported.path.read_bytes()
    for words in (str(repository), "site-packages", "stack_trace", ".py"):
        assert words.encode() not in content


def test_the_same_classifier_gives_the_same_bytes(trained, exported, tmp_path):
    export(trained, tmp_path / "again.onnx")
    assert (tmp_path / "again.onnx").read_bytes() == exported.path.read_bytes()


def test_names_and_preprocessing_survive_compiling_the_file(trained, exported, scans, tmp_path):
    build(exported.path, tmp_path / "digits.so")
    runtime = load(tmp_path / "digits.so")
    assert runtime.card == trained.card
    for scan in scans:
        pairs = zip(runtime.predict(scan, top=10), trained.predict(scan, top=10), strict=True)
        for found, expected in pairs:
            assert found.label == expected.label
            assert found.probability == pytest.approx(expected.probability, abs=1e-5)


def test_a_classifiers_file_is_exported_as_the_classifier(classifier_file, exported, tmp_path):
    export(str(classifier_file), tmp_path / "digits.onnx")
    assert (tmp_path / "digits.onnx").read_bytes() == exported.path.read_bytes()


@pytest.mark.parametrize("name", ["lenet5", "resnet20"])
def test_networks_with_operations_of_their_own_are_exported(make_classifier, name, tmp_path):
    classifier = (
        make_classifier(name) if name == "lenet5" else make_classifier(name, preprocess=RGB)
    )
    classifier.net.train()
    before = [module.training for module in classifier.net.modules()]
    found = export(classifier, tmp_path / "net.onnx")
    assert found.deviation <= found.limit
    assert [module.training for module in classifier.net.modules()] == before


@pytest.mark.slow
@pytest.mark.parametrize("name", CATALOG)
def test_every_network_is_exported_and_read_back(make_network, name, tmp_path):
    classifier = make_network(name)
    found = export(classifier, tmp_path / "net.onnx")
    assert found.deviation <= found.limit
    assert read_model(tmp_path / "net.onnx").card == classifier.card
    (tmp_path / "net.onnx").unlink()  # half a gigabyte, some of them


@pytest.fixture
def make_network():
    """An untrained classifier as its paper has the network."""

    def make(name):
        torch.manual_seed(0)
        net = create(name)
        channels, height, width = net.input_shape
        preprocess = Preprocess(
            resize=(height, width),
            crop=(height, width),
            mean=(128.0,) * channels,
            std=(64.0,) * channels,
        )
        classes = tuple(f"class {k}" for k in range(net.num_classes))
        card = Card(network=name, arguments=net.arguments, classes=classes, preprocess=preprocess)
        return Classifier(net, card)

    return make


def test_local_response_normalisation_is_onnx_own():
    from convforge.networks.blocks import LocalResponseNorm

    model = onnx_export.to_onnx(LocalResponseNorm(alpha=0.1), (None, 8, 3, 3))
    assert [node.op_type for node in model.graph.node] == ["LRN"]
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    x = np.random.default_rng(0).standard_normal((2, 8, 3, 3), np.float32)
    (found,) = session.run(None, {"images": x})
    expected = LocalResponseNorm(alpha=0.1)(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_sizes_that_are_given_stay_fixed():
    model = onnx_export.to_onnx(torch.nn.Conv2d(3, 4, 3), (1, 3, 6, 5))
    (source,) = model.graph.input
    assert [dim.dim_value for dim in source.type.tensor_type.shape.dim] == [1, 3, 6, 5]


# -------------------------------------------------------------------------------- refusals


def test_an_artifact_is_refused_with_what_to_do(artifact_file, tmp_path):
    for model in (artifact_file, load(artifact_file)):
        with pytest.raises(InputError, match=r"digits\.so: a compiled .* compiled from"):
            export(model, tmp_path / "digits.onnx")
    assert not list(tmp_path.iterdir())


def test_another_format_is_refused(trained, tmp_path):
    with pytest.raises(InputError, match=r"no format 'tflite'; there is onnx"):
        export(trained, tmp_path / "digits.tflite", format="tflite")


def test_what_is_no_classifier_is_refused(tmp_path):
    with pytest.raises(InputError, match="got a Conv2d; expected a Classifier"):
        export(torch.nn.Conv2d(3, 4, 3), tmp_path / "net.onnx")
    with pytest.raises(InputError, match="no such file"):
        export(tmp_path / "gone.safetensors", tmp_path / "net.onnx")
    (tmp_path / "notes.safetensors").write_text("hello")
    with pytest.raises(ClassifierError, match=r"notes\.safetensors: not a classifier file"):
        export(tmp_path / "notes.safetensors", tmp_path / "net.onnx")


def test_a_place_that_cannot_be_written_is_refused_before_the_work(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_export, "to_onnx", lambda *_: pytest.fail("the work has begun"))
    with pytest.raises(OutputError, match="does not exist"):
        export(trained, tmp_path / "gone" / "digits.onnx")


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_a_package_that_is_missing_is_named_with_what_installs_it(
    trained, package, tmp_path, monkeypatch
):
    monkeypatch.setitem(sys.modules, package, None)
    words = rf'needs {package}, .*pip install "convforge\[export\]"'
    with pytest.raises(PackageError, match=words):
        export(trained, tmp_path / "digits.onnx")


def test_a_file_that_computes_something_else_is_not_kept(trained, tmp_path, monkeypatch):
    right = onnx_export.to_onnx

    def wrong(module, shape):
        model = right(module, shape)
        bias = next(one for one in model.graph.initializer if one.name.endswith("linear3.bias"))
        values = onnx.numpy_helper.to_array(bias) + np.float32(0.01)
        bias.CopyFrom(onnx.numpy_helper.from_array(values, bias.name))
        return model

    monkeypatch.setattr(onnx_export, "to_onnx", wrong)
    (tmp_path / "digits.onnx").write_text("the old one")
    with pytest.raises(UnsupportedError, match=r"a logit is off by 0\.01, accepted .* was written"):
        export(trained, tmp_path / "digits.onnx")
    assert (tmp_path / "digits.onnx").read_text() == "the old one"
    assert len(list(tmp_path.iterdir())) == 1


def test_what_torch_cannot_write_is_refused_with_the_innermost_reason(monkeypatch):
    def refuse(*_arguments, **_options):
        raise RuntimeError("step 3 of 3") from ValueError("no such operation\nand more")

    monkeypatch.setattr(torch.onnx, "export", refuse)
    with pytest.raises(UnsupportedError, match=r"could not write it: no such operation$"):
        onnx_export.to_onnx(torch.nn.Conv2d(3, 4, 3), (1, 3, 6, 5))
