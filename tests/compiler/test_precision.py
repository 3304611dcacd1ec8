from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from convforge.compiler.compilation import compile as build
from convforge.errors import InputError
from convforge.runtime import Runtime

with torch.random.fork_rng():
    torch.manual_seed(0)
    NET = nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.Hardswish(), nn.Conv2d(16, 8, 3, stride=2)
    )
SHAPE = (1, 3, 20, 20)


def inputs(count=3, shape=SHAPE[1:]):
    return np.random.default_rng(0).standard_normal((count, *shape), dtype=np.float32)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"precision": "int8"}, "needs images"),
        ({"calibrate": "digits"}, "goes with precision int8 or bf16"),
        ({"precision": "bf16", "target": "html"}, "html has no products of bf16"),
        ({"precision": "bf16", "target": "wasm32"}, "wasm32 has no products of bf16"),
        ({"precision": "bf16", "calibrate": inputs(1)}, "has no ranges to find with arrays"),
        ({"precision": "bf16", "calibrate": "digits"}, "is a bare network"),
        ({"precision": "int8", "calibrate": "digits", "max_drop": 2.0}, "max_drop is 2.0"),
        ({"precision": "int8", "calibrate": "digits"}, "is a bare network"),
        ({"precision": "int8", "calibrate": inputs(1, (1, 20, 20))}, "the network takes"),
    ],
)
def test_what_does_not_go_together_is_refused(tmp_path, options, words):
    suffix = {"html": "html", "wasm32": "wasm"}.get(options.get("target"), "so")
    shape = None if "target" in options or words.startswith(("needs", "goes", "max")) else SHAPE
    path = tmp_path / f"net.{suffix}"
    with pytest.raises(InputError, match=words):
        build(NET, path, input_shape=shape, **options)
    assert not path.exists()


def test_a_bare_network_is_near_its_module(tmp_path):
    path = tmp_path / "net.so"
    artifact = build(NET, path, input_shape=SHAPE, precision="int8", calibrate=inputs(16))
    assert artifact.quantization == {"calibrated": 16}
    x = inputs(1)
    with torch.no_grad():
        truth = NET(torch.from_numpy(x)).numpy()
    found = Runtime(path).run(x)
    error = np.sqrt(np.mean((found - truth) ** 2) / np.mean(truth**2))
    assert 0 < error < 0.03


def test_sources_are_compiled_for_products_of_bytes_too(tmp_path):
    options = {"input_shape": SHAPE, "precision": "int8", "calibrate": inputs(2)}
    folder = tmp_path / "net"
    build(NET, folder, target="c", **options)
    assert "avx512vnni" in (folder / "CMakeLists.txt").read_text()
    assert "cf_steps_avx512vnni" in (folder / "artifact.c").read_text()
    assert "cf_steps_avx512[" not in (folder / "artifact.c").read_text()


def test_bf16_needs_no_images_and_is_near_its_module(tmp_path):
    path = tmp_path / "net.so"
    artifact = build(NET, path, input_shape=SHAPE, precision="bf16")
    assert (artifact.precision, artifact.quantization) == ("bf16", None)
    x = inputs(1)
    with torch.no_grad():
        truth = NET(torch.from_numpy(x)).numpy()
    runtime = Runtime(path)
    error = np.sqrt(np.mean((runtime.run(x) - truth) ** 2) / np.mean(truth**2))
    assert 0 < error < 0.01
    assert {layer.kernel for layer in runtime.layers} >= {"conv_bf16", "maps_bf16"}


def test_sources_are_compiled_for_products_of_bf16_too(tmp_path):
    folder = tmp_path / "net"
    build(NET, folder, target="c", input_shape=SHAPE, precision="bf16")
    assert "-mavx512bf16" in (folder / "CMakeLists.txt").read_text()
    assert "cf_steps_avx512bf16" in (folder / "artifact.c").read_text()


@pytest.mark.slow
def test_other_compilers_take_it_too(tmp_path):
    path = tmp_path / "net.so"
    artifact = build(NET, path, target="x86_64-linux", input_shape=SHAPE, precision="bf16")
    assert artifact.file_bytes > 0
    Runtime(path).selftest()
