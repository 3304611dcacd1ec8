from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from convforge.compiler.models import SEED, read_model
from convforge.errors import ClassifierError, InputError, PackageError, UnsupportedError
from convforge.networks.catalog import create


def test_a_classifier_brings_its_card_and_its_own_answer(trained):
    found = read_model(trained)
    assert (found.card, found.untrained) == (trained.card, False)
    assert found.name == trained.card.network
    assert found.graph.input_shape == (1, 1, 32, 32)
    x = np.random.default_rng(0).standard_normal((1, 1, 32, 32), np.float32)
    np.testing.assert_array_equal(found.expected(x), trained.logits(x))


@pytest.mark.parametrize("kind", [str, lambda path: path], ids=["str", "Path"])
def test_a_classifiers_file_is_the_classifier(trained, classifier_file, kind):
    found = read_model(kind(classifier_file))
    assert found.card == trained.card
    assert found.name == classifier_file.name


def test_a_bare_module_has_no_card_and_is_left_as_it_was():
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5)).train()
    module[1].eval()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    found = read_model(module, input_shape=(1, 3, 5, 6))
    assert found.card is None
    assert (found.name, found.untrained) == ("Sequential", False)
    assert found.graph.input_shape == (1, 3, 5, 6)
    x = np.random.default_rng(0).standard_normal((1, 3, 5, 6), np.float32)
    np.testing.assert_array_equal(found.expected(x), found.expected(x))
    assert [child.training for child in module] == [True, False, True]
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name])


def test_a_module_may_take_several_images_at_a_time():
    found = read_model(nn.Conv2d(3, 4, 3), input_shape=(5, 3, 6, 6))
    assert found.graph.input_shape == (5, 3, 6, 6)
    assert found.expected(np.zeros((5, 3, 6, 6), np.float32)).shape == (5, 4, 4, 4)


def test_a_networks_name_is_that_network_untrained_and_the_same_every_time():
    state = torch.random.get_rng_state()
    found, again = read_model("lenet5_relu"), read_model("lenet5_relu")
    assert torch.equal(torch.random.get_rng_state(), state)
    assert found.untrained
    assert found.card is None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        net = create("lenet5_relu").eval()
    x = np.random.default_rng(0).standard_normal((1, 1, 32, 32), np.float32)
    expected = net(torch.from_numpy(x)).detach().numpy()
    np.testing.assert_array_equal(found.expected(x), expected)
    np.testing.assert_array_equal(again.expected(x), expected)


def test_a_networks_name_with_published_weights_is_a_classifier():
    found = read_model("efficientnet_lite0", weights="imagenet")
    assert not found.untrained
    assert len(found.card.classes) == 1000
    assert found.card.network == "efficientnet_lite0"


def test_a_file_named_like_a_network_is_the_file(trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    trained.save("lenet5")
    assert read_model("lenet5").card == trained.card


# -------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize("name", ["gone.safetensors", "gone/digits.so", "gone.onnx", "gone"])
def test_a_missing_file_is_refused_with_what_it_may_be(tmp_path, name):
    with pytest.raises(InputError, match=r"no such file; expected a classifier that `save` wrote"):
        read_model(tmp_path / name)


def test_a_name_close_to_a_networks_is_refused_with_that():
    with pytest.raises(InputError, match=r"resnet5: no such file; .*such as .*resnet50"):
        read_model("resnet5")


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_model(tmp_path)


def test_what_is_no_classifier_file_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(ClassifierError, match=r"notes\.txt"):
        read_model(tmp_path / "notes.txt")


@pytest.mark.parametrize("value", [None, 3, b"digits.safetensors", np.zeros(3)])
def test_what_is_no_model_is_refused_by_its_type(value):
    with pytest.raises(InputError, match=f"got a {type(value).__name__}; expected a Classifier"):
        read_model(value)


def test_a_bare_module_without_its_shape_is_refused():
    with pytest.raises(InputError, match=r"a bare Conv2d .*give input_shape="):
        read_model(nn.Conv2d(3, 4, 3))


@pytest.mark.parametrize("shape", [(3, 6, 6), (1, 3, 6), (1, 3, 6, 0), (1, 1, 3, 6, 6), ()])
def test_a_shape_that_is_none_of_images_is_refused(shape):
    with pytest.raises(InputError, match=r"expected a batch of images, \(N, C, H, W\)"):
        read_model(nn.Conv2d(3, 4, 3), input_shape=shape)


@pytest.mark.parametrize("model", ["trained", "classifier_file", "lenet5"])
def test_a_shape_for_what_has_its_own_is_refused(model, request):
    given = model if model == "lenet5" else request.getfixturevalue(model)
    with pytest.raises(InputError, match=r"input_shape=\(1, 1, 9, 9\) for a .*leave it out"):
        read_model(given, input_shape=(1, 1, 9, 9))


def test_weights_for_what_has_its_own_are_refused(trained, classifier_file):
    for model in (trained, classifier_file, nn.Conv2d(3, 4, 3)):
        with pytest.raises(InputError, match="weights='imagenet' goes with the name of a network"):
            read_model(model, weights="imagenet")


def test_weights_that_are_not_published_are_refused():
    with pytest.raises(InputError, match="lenet5: no weights are named 'imagenet'"):
        read_model("lenet5", weights="imagenet")


def test_a_layer_that_is_not_understood_is_named():
    with pytest.raises(UnsupportedError, match=r"layer '1'"):
        read_model(nn.Sequential(nn.Conv2d(3, 4, 3), Fold()), input_shape=(1, 3, 8, 8))


class Fold(nn.Module):
    def forward(self, x):
        return torch.fft.fft2(x).real


def test_without_torch_the_message_names_the_extra(monkeypatch):
    monkeypatch.delitem(sys.modules, "convforge.classifier")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(PackageError, match=r'pip install "convforge\[train\]"'):
        read_model(3)


def test_without_onnx_the_message_names_the_extra(monkeypatch, tmp_path):
    (tmp_path / "net.onnx").write_bytes(b"")
    for name in [name for name in sys.modules if name.startswith("convforge.compiler.frontends.o")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(PackageError, match=r'needs onnx .*pip install "convforge\[onnx\]"'):
        read_model(tmp_path / "net.onnx")


def test_an_onnx_file_is_a_graph_alone(tmp_path):
    onnx = pytest.importorskip("onnx")
    x, y = (
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 2, 3, 3])
        for name in "xy"
    )
    graph = onnx.helper.make_graph([onnx.helper.make_node("Relu", ["x"], ["y"])], "net", [x], [y])
    opset = [onnx.helper.make_opsetid("", 17)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=8), tmp_path / "n.onnx")
    found = read_model(tmp_path / "n.onnx")
    assert (found.name, found.card, found.expected) == ("n.onnx", None, None)
    assert found.file == tmp_path / "n.onnx"
    assert found.graph.input_shape == (1, 2, 3, 3)


@pytest.fixture
def carded(trained, tmp_path):
    """`trained` as an ONNX file; gives its path and a way to change it."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    from convforge.onnx_export import export

    path = tmp_path / "digits.onnx"
    export(trained, path)

    def change(**metadata):
        model = onnx.load(path)
        onnx.helper.set_model_props(model, metadata)
        onnx.save(model, path)

    return path, change


def test_an_onnx_file_that_was_exported_brings_its_card(carded, trained):
    found = read_model(carded[0])
    assert (found.card, found.file) == (trained.card, carded[0])
    assert read_model(carded[0], input_shape=(1, 1, 32, 32)).card == trained.card


def test_a_card_without_its_key_is_no_card(carded, trained):
    path, change = carded
    change(card=trained.card.dumps())
    assert read_model(path).card is None


def test_a_card_of_another_model_is_refused(carded, trained):
    path, change = carded
    change(convforge=replace(trained.card, classes=("a", "b")).dumps())
    words = (
        r"digits\.onnx: carries the card of a classifier from \[1, 1, 32, 32\] to \[1, 2\], and "
    )
    with pytest.raises(InputError, match=words + r"computes \[1, 1, 32, 32\] to \[1, 10\]"):
        read_model(path)


def test_a_batch_for_a_file_with_a_card_is_refused(carded):
    with pytest.raises(InputError, match=r"computes \[4, 1, 32, 32\] .*leave input_shape out"):
        read_model(carded[0], input_shape=(4, 1, 32, 32))


def test_a_card_that_is_damaged_is_refused(carded):
    path, change = carded
    change(convforge="{}")
    with pytest.raises(InputError, match=r"digits\.onnx: its card is damaged"):
        read_model(path)
