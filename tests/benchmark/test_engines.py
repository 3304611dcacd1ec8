from __future__ import annotations

import importlib
import sys

import numpy as np
import pytest
import torch
from torch import nn

from convforge.benchmark import engines
from convforge.benchmark.engines import PEERS
from convforge.compiler.backend.selftest import make_input
from convforge.compiler.compilation import compile as build
from convforge.compiler.models import read_model
from convforge.errors import PackageError, UnsupportedError


@pytest.fixture(scope="module")
def module():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Dropout(0.5), nn.Flatten())


@pytest.fixture
def model(module):
    return read_model(module, input_shape=(1, 3, 6, 5))


SLOW = {"torch-compile"}  # a C++ compiler at work


@pytest.mark.parametrize(
    "name", [pytest.param(one, marks=[pytest.mark.slow] * (one in SLOW)) for one in PEERS]
)
def test_every_engine_computes_the_model(model, module, name, tmp_path):
    if not name.startswith("torch"):
        pytest.importorskip(name)
        pytest.importorskip("pnnx" if name == "ncnn" else "onnxscript")
    before = torch.get_num_threads()
    try:
        engine = PEERS[name](model, tmp_path, threads=1)
    finally:
        torch.set_num_threads(before)
    assert engine.name == name
    assert engine.version[0].isdigit()
    x = make_input((1, 3, 6, 5), None)
    expected = module.eval()(torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(engine.run(x), expected, rtol=0, atol=1e-5)


def test_ours_is_the_artifact(module, tmp_path):
    build(module, tmp_path / "net.so", input_shape=(1, 3, 6, 5))
    engine, runtime = engines.convforge(tmp_path / "net.so", threads=2)
    assert runtime.threads == 2
    assert engine.name == "convforge"
    assert runtime.level in engine.version
    x = make_input((1, 3, 6, 5), None)
    np.testing.assert_array_equal(engine.run(x), runtime.run(x))


@pytest.mark.parametrize(
    ("name", "extra"), [("onnxruntime", "bench"), ("openvino", "bench"), ("ncnn", "bench")]
)
def test_an_engine_that_is_not_installed_says_what_brings_it(
    model, name, extra, tmp_path, monkeypatch
):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(PackageError, match=rf'not installed: pip install "convforge\[{extra}\]"'):
        PEERS[name](model, tmp_path, threads=1)


def test_torch_needs_a_module(tmp_path):
    graph = read_model(nn.Conv2d(3, 4, 3), input_shape=(1, 3, 6, 5)).graph
    with pytest.raises(UnsupportedError, match="no torch module"):
        PEERS["torch"](engines_model(graph), tmp_path, threads=1)


def engines_model(graph):
    return importlib.import_module("convforge.compiler.models").Model("net", graph)


def test_a_model_that_onnx_lacks_is_left_out_with_the_reason(model, tmp_path, monkeypatch):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")

    def refuse(*_arguments, **_options):
        raise RuntimeError("step 3 of 3") from ValueError("no such operation\nand more")

    monkeypatch.setattr(torch.onnx, "export", refuse)
    words = r"torch\.onnx\.export could not write it: no such operation$"
    with pytest.raises(UnsupportedError, match=words):
        PEERS["onnxruntime"](model, tmp_path, threads=1)
