from __future__ import annotations

import stat
import sys
import tempfile
from pathlib import Path

import pytest
import torch
from torch import nn

from convforge.card import Card
from convforge.classifier import Classifier
from convforge.compiler import compilation
from convforge.compiler.compilation import compile as build
from convforge.errors import (
    ClassifierError,
    InputError,
    OutputError,
    PackageError,
    ToolchainError,
    UnsupportedError,
)
from convforge.images.preprocess import Preprocess
from convforge.networks.contract import ConvNet
from convforge.runtime import Runtime


def make_classifier(*layers):
    """A classifier of 6x5 grey images and two classes, with a few parameters."""
    net = ConvNet(nn.Sequential(*layers), nn.Sequential(nn.Flatten(), nn.Linear(30, 2)))
    net.input_shape, net.num_classes = (1, 6, 5), 2
    preprocess = Preprocess(resize=(6, 5), crop=(6, 5), mean=(0.0,), std=(255.0,))
    card = Card(network="", arguments={}, classes=("no", "yes"), preprocess=preprocess)
    return Classifier(net, card)


@pytest.fixture
def classifier():
    torch.manual_seed(0)
    return make_classifier(nn.Conv2d(1, 1, 1))


def files_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_classifier_becomes_one_file_that_says_what_it_needs(classifier, tmp_path):
    artifact = build(classifier, tmp_path / "net.so")
    assert files_in(tmp_path) == ["net.so"]
    assert artifact.path == tmp_path / "net.so"
    assert artifact.file_bytes == artifact.path.stat().st_size
    assert artifact.weight_bytes >= 4 * (2 + 62)
    assert artifact.arena_bytes >= artifact.arena_lower_bound > 0
    assert stat.S_IMODE(artifact.path.stat().st_mode) & stat.S_IRUSR
    runtime = Runtime(artifact.path)
    assert runtime.card == classifier.card


def test_a_classifiers_file_compiles_to_what_the_classifier_does(
    trained, classifier_file, tmp_path
):
    build(classifier_file, str(tmp_path / "net.so"))
    assert Runtime(tmp_path / "net.so").card == trained.card


def test_an_old_file_is_replaced(classifier, tmp_path):
    path = tmp_path / "net.so"
    path.write_bytes(b"old")
    build(classifier, path)
    assert Runtime(path).classes == ("no", "yes")
    assert files_in(tmp_path) == ["net.so"]


@pytest.fixture
def no_work(monkeypatch):
    """Fails the test where anything is compiled."""

    def fail(*_arguments, **_options):
        pytest.fail("work was done")

    monkeypatch.setattr(compilation, "_classifier", fail)
    monkeypatch.setattr(compilation, "compile_graph", fail)


@pytest.mark.parametrize("path", ["nowhere/net.so", "file/net.so", ".", "", "/proc/net.so"])
def test_a_path_that_cannot_be_written_is_refused_before_any_work(
    classifier, tmp_path, monkeypatch, no_work, path
):
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    with pytest.raises(OutputError):
        build(classifier, path)
    assert files_in(tmp_path) == ["file"]


def test_an_unknown_target_is_refused_before_any_work(classifier, tmp_path, no_work):
    with pytest.raises(UnsupportedError, match="target 'toaster' is not known; known is: native"):
        build(classifier, tmp_path / "net.so", target="toaster")


def test_a_missing_classifier_is_refused_by_name(tmp_path):
    with pytest.raises(InputError, match=r"gone\.safetensors: no such file"):
        build(tmp_path / "gone.safetensors", tmp_path / "net.so")


def test_a_classifier_file_cut_in_half_is_refused(classifier_file, tmp_path):
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(classifier_file.read_bytes()[: classifier_file.stat().st_size // 2])
    with pytest.raises(ClassifierError, match=r"cut\.safetensors"):
        build(cut, tmp_path / "net.so")


def test_a_layer_that_is_not_understood_is_named_and_nothing_is_written(tmp_path):
    with pytest.raises(UnsupportedError, match=r"layer 'features\.1'.*aten\.gelu"):
        build(make_classifier(nn.Conv2d(1, 1, 1), nn.GELU()), tmp_path / "net.so")
    assert files_in(tmp_path) == []


def test_without_a_compiler_nothing_is_written(classifier, tmp_path, monkeypatch):
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(ToolchainError, match="no-such-compiler"):
        build(classifier, tmp_path / "net.so")
    assert files_in(tmp_path) == []


def test_a_failing_compiler_leaves_the_old_file_and_no_scratch(classifier, tmp_path, monkeypatch):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    monkeypatch.setenv("CC", "false")
    (tmp_path / "net.so").write_bytes(b"old")
    with pytest.raises(ToolchainError):
        build(classifier, tmp_path / "net.so")
    assert (tmp_path / "net.so").read_bytes() == b"old"
    assert files_in(tmp_path) == ["net.so", "scratch"]
    assert files_in(scratch) == []


def test_without_torch_the_message_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "convforge.classifier")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(PackageError, match=r'pip install "convforge\[train\]"'):
        build("digits.safetensors", tmp_path / "net.so")


def test_what_is_no_classifier_is_refused(tmp_path):
    with pytest.raises(
        InputError, match=r"Linear.*; expected a Classifier or the path of its file"
    ):
        build(nn.Linear(2, 2), tmp_path / "net.so")
