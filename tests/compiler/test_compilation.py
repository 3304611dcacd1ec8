from __future__ import annotations

import stat
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from convforge.card import Card
from convforge.classifier import Classifier
from convforge.compiler import compilation, pipeline
from convforge.compiler.backend.target import native
from convforge.compiler.compilation import compile as build
from convforge.compiler.passes.order import PASSES
from convforge.errors import (
    ClassifierError,
    InputError,
    OutputError,
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

    monkeypatch.setattr(compilation, "read_model", fail)
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
    with pytest.raises(UnsupportedError, match="target 'toaster' is not known; known are: native"):
        build(classifier, tmp_path / "net.so", target="toaster")


@pytest.mark.parametrize("threads", [0, -1, 65])
def test_a_number_of_threads_out_of_range_is_refused_before_any_work(
    classifier, tmp_path, no_work, threads
):
    with pytest.raises(InputError, match=f"threads is {threads}; target .* takes 1 to 64"):
        build(classifier, tmp_path / "net.so", threads=threads)


def test_an_artifact_computes_with_the_threads_it_was_compiled_for(classifier, tmp_path):
    assert build(classifier, tmp_path / "net.so", threads=2).threads == 2
    assert Runtime(tmp_path / "net.so").threads == 2


def test_a_bare_module_becomes_an_artifact_of_tensors(tmp_path):
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten())
    artifact = build(module, tmp_path / "net.so", input_shape=(1, 3, 7, 6))
    assert artifact.weights == "given"
    runtime = Runtime(tmp_path / "net.so")
    assert (runtime.input_shape, runtime.output_shape) == ((1, 3, 7, 6), (1, 80))
    x = np.random.default_rng(0).standard_normal((1, 3, 7, 6), np.float32)
    expected = module(torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(runtime.run(x), expected, rtol=0, atol=1e-6)
    assert runtime.classes == ()
    for use in (
        lambda: runtime.card,
        lambda: runtime.preprocess,
        lambda: runtime.predict(np.zeros((9, 9, 3), np.uint8)),
        lambda: runtime.probabilities([np.zeros((9, 9, 3), np.uint8)]),
    ):
        with pytest.raises(InputError, match=r"net\.so: compiled from a bare network.*`run`"):
            use()


def test_the_artifact_of_an_untrained_network_says_so(tmp_path):
    assert build("lenet5", tmp_path / "a.so").weights == "random"
    build("lenet5", tmp_path / "b.so")
    assert (tmp_path / "a.so").read_bytes() == (tmp_path / "b.so").read_bytes()
    assert Runtime(tmp_path / "a.so").logits(np.zeros((2, 1, 32, 32), np.float32)).shape == (2, 10)


# --------------------------------------------------------------------------- dump, progress


def test_every_stage_is_dumped(classifier, tmp_path):
    build(classifier, tmp_path / "net.so", dump=tmp_path / "deep" / "dump")
    folder = tmp_path / "deep" / "dump"
    graphs = sorted(path.name for path in folder.glob("[0-9]*.txt"))
    names = [rewrite.__name__ for rewrite in PASSES]
    assert graphs == [f"{i:02}_{name}.txt" for i, name in enumerate(["graph", *names])]
    assert "conv2d" in (folder / "00_graph.txt").read_text()
    assert (folder / "program.txt").read_text().startswith("from input to ")
    assert "no plan needs less" in (folder / "memory.txt").read_text()
    assert {"artifact.c", "convforge.h", "weights.bin"} <= set(files_in(folder / "c"))


def test_a_dump_that_cannot_be_written_is_refused_before_any_work(classifier, tmp_path, no_work):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="name another folder to dump to"):
        build(classifier, tmp_path / "net.so", dump=tmp_path / "file" / "dump")
    assert files_in(tmp_path) == ["file"]


def test_what_is_being_done_is_told(classifier, tmp_path):
    told = []
    build(classifier, tmp_path / "net.so", progress=lambda *report: told.append(report))
    said = [what for done, total, what in told if (done, total) == (0, 0)]
    assert said[0] == "reading the model"
    assert said[-2:] == ["compiling C", "testing the artifact"]


# ---------------------------------------------------------------------------------- the proof


def test_an_artifact_that_fails_its_test_is_not_written(classifier, tmp_path, monkeypatch):
    def lie(graph, **options):
        model = options.pop("expected")
        return compile_graph(graph, expected=lambda x: model(x) + 1, **options)

    compile_graph = compilation.compile_graph
    monkeypatch.setattr(compilation, "compile_graph", lie)
    best = native().levels[0].name
    (tmp_path / "net.so").write_bytes(b"old")
    words = "fails its self-test: .* at level .*computes something else.*nothing was written"
    with pytest.raises(ToolchainError, match=words) as refusal:
        build(classifier, tmp_path / "net.so")
    assert "Set CC" in str(refusal.value)
    assert best in str(refusal.value) or "baseline" in str(refusal.value)
    assert (tmp_path / "net.so").read_bytes() == b"old"
    assert files_in(tmp_path) == ["net.so"]


def test_an_artifact_that_crashes_is_not_written(classifier, tmp_path, monkeypatch):
    def trap(sources, **options):
        body = sources["artifact.c"]
        start = b"int cf_selftest(cf_context *context)\n{\n"
        assert start in body
        broken = sources | {"artifact.c": body.replace(start, start + b"    __builtin_trap();\n")}
        return build_library(broken, **options)

    build_library = pipeline.build_library
    monkeypatch.setattr(pipeline, "build_library", trap)
    with pytest.raises(ToolchainError, match="fails its self-test: it crashed with SIG"):
        build(classifier, tmp_path / "net.so")
    assert files_in(tmp_path) == []


def test_a_classifier_file_cut_in_half_is_refused(classifier_file, tmp_path):
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(classifier_file.read_bytes()[: classifier_file.stat().st_size // 2])
    with pytest.raises(ClassifierError, match=r"cut\.safetensors"):
        build(cut, tmp_path / "net.so")


def test_a_layer_that_is_not_understood_is_named_and_nothing_is_written(tmp_path):
    with pytest.raises(UnsupportedError, match=r"layer 'features\.1'.*aten\._log_softmax"):
        build(make_classifier(nn.Conv2d(1, 1, 1), nn.LogSoftmax(1)), tmp_path / "net.so")
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
