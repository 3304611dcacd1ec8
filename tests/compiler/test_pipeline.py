"""Whole artifacts: warning-free and sanitizer-clean C, the same bytes, the same answer as torch."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from convforge.compiler.backend.emit import emit_sources, plan_arena
from convforge.compiler.backend.package import save_artifact
from convforge.compiler.backend.program import build_program
from convforge.compiler.backend.schedule import build_schedule
from convforge.compiler.backend.target import native
from convforge.compiler.frontends.torch import from_torch
from convforge.compiler.passes.order import run_passes
from convforge.compiler.pipeline import compile_graph
from convforge.networks.catalog import create
from convforge.runtime import Runtime

STRICT = ("-Wall", "-Wextra", "-Werror", "-pedantic")
SANITIZE = ("-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
COMPILERS = {"gcc": "gcc", "zig": f"{sys.executable} -m ziglang cc"}

MAIN = """
#include "convforge.h"
#include <stdlib.h>
#include <string.h>
int main(void)
{
    static const int sizes[][2] = {{1, 1}, {7, 300}, {64, 48}, {33, 33}};
    if (cf_abi() != CF_ABI || strlen(cf_card()) < 2)
        return 1;
    cf_context *context = cf_create();
    float *values = malloc(sizeof(float) * (size_t)cf_classes());
    float *input = calloc((size_t)cf_input_floats(), sizeof(float));
    if (!context || !values || !input || cf_run(context, input, values) != CF_OK)
        return 2;
    for (int k = 0; k < 4; k++) {
        const size_t bytes = (size_t)(3 * sizes[k][0] * sizes[k][1]);
        uint8_t *rgb = malloc(bytes);
        if (!rgb)
            return 3;
        memset(rgb, 77 + k, bytes);
        if (cf_predict(context, rgb, sizes[k][0], sizes[k][1], values) != CF_OK)
            return 4;
        free(rgb);
    }
    if (cf_predict(context, (const uint8_t *)"", 0, 1, values) == CF_OK)
        return 5;
    free(input);
    free(values);
    cf_destroy(context);
    cf_destroy(NULL);
    return cf_create_at("no such level") != NULL;
}
"""


def prepared(name: str, **arguments: object) -> nn.Module:
    """A network with random weights and random, not neutral, BatchNorm statistics."""
    torch.manual_seed(0)
    net = create(name, **arguments).eval()
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.normal_(0, 0.1)
            layer.running_var.uniform_(0.5, 2)
    return net


def compiled(net, make_card, **options):
    card = make_card([str(k) for k in range(net.num_classes)], shape=net.input_shape)
    return compile_graph(from_torch(net, net.input_shape), card=card, target=native(), **options)


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("lenet5", 32),
        ("lenet5_relu", 32),
        ("lenet5_relu", 35),
        ("resnet20", 32),
        ("alexnet", 67),
        ("googlenet", 79),
        pytest.param("mobilenet_v2", 65, marks=pytest.mark.slow),
        pytest.param("efficientnet_lite0", 64, marks=pytest.mark.slow),
        pytest.param("resnet50", 64, marks=pytest.mark.slow),
    ],
)
def test_an_artifact_computes_what_torch_does_in_float64(tmp_path, make_card, name, size):
    net = prepared(name, input_size=size)
    path = tmp_path / "net.so"
    save_artifact(compiled(net, make_card).library, path)
    x = torch.randn(2, *net.input_shape)
    with torch.no_grad():
        truth = net.double()(x.double()).numpy()
    levels = [level.name for level in native().levels]
    best = levels.index(Runtime(path).level)
    for level in levels[best:]:  # the CPU has this one and those after it
        found = Runtime(path, level=level).logits(x.numpy())
        assert np.abs(found - truth).max() <= 1e-5 * np.abs(truth).max(), level


@pytest.mark.parametrize("compiler", COMPILERS)
def test_emitted_c_compiles_without_a_warning(monkeypatch, make_card, compiler):
    if shutil.which(COMPILERS[compiler].split()[0]) is None:
        pytest.skip(f"{compiler} is not installed")
    monkeypatch.setenv("CC", COMPILERS[compiler])
    # tiles, dense layers, RBF units; LRN, groups, overlapping pooling
    for name, size in (("lenet5", 32), ("alexnet", 67)):
        assert compiled(prepared(name, input_size=size), make_card, flags=STRICT).library


@pytest.mark.parametrize(
    "name", ["lenet5", "lenet5_relu", pytest.param("resnet20", marks=pytest.mark.slow)]
)
def test_emitted_c_runs_clean_under_sanitizers(tmp_path, make_card, name):
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed; its sanitizers come with it")
    built = compiled(prepared(name), make_card)
    for file, content in {**built.sources, "main.c": MAIN.encode()}.items():
        (tmp_path / file).write_bytes(content)
    objects = []
    for level in native().levels:
        for source, rename in (
            ("model", "CF_FORWARD=cf_forward"),
            ("preprocess", "cf_preprocess=cf_preprocess"),
        ):
            target = f"{source}_{level.name}.o"
            flags = ["-O1", *SANITIZE, *level.flags, f"-D{rename}_{level.name}"]
            run(["gcc", "-std=c11", *flags, "-c", f"{source}.c", "-o", target], tmp_path)
            objects.append(target)
    rest = ["main.c", "artifact.c", "weights.S"]
    run(["gcc", "-std=c11", *SANITIZE, *rest, *objects, "-lm", "-o", "main"], tmp_path)
    run(["./main"], tmp_path)


def run(command, folder):
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def digest(sources: dict[str, bytes]) -> str:
    parts = [name.encode() + b"\0" + content for name, content in sorted(sources.items())]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def emitted(net, make_card) -> dict[str, bytes]:
    card = make_card([str(k) for k in range(net.num_classes)], shape=net.input_shape)
    program = build_program(run_passes(from_torch(net, net.input_shape)))
    schedule = build_schedule(program)
    plan = plan_arena(program, schedule, card)
    return emit_sources(program, schedule, plan, card=card, target=native())


def test_the_same_network_gives_the_same_bytes_of_c_in_any_process(make_card):
    net = prepared("lenet5")
    first = digest(emitted(net, make_card))
    assert digest(emitted(net, make_card)) == first
    # Another process: another order of sets and of hashed strings.
    script = f"""
import importlib.util, sys
spec = importlib.util.spec_from_file_location("pipeline_test", {__file__!r})
module = importlib.util.module_from_spec(spec)
sys.modules["pipeline_test"] = module
spec.loader.exec_module(module)
from convforge.card import Card
from convforge.images.preprocess import Preprocess
def make_card(classes, *, shape):
    preprocess = Preprocess(resize=shape[1:], crop=shape[1:], mean=(100.0,), std=(50.0,))
    return Card(network="", arguments={{}}, classes=tuple(classes), preprocess=preprocess)
print(module.digest(module.emitted(module.prepared("lenet5"), make_card)))
"""
    environment = {**os.environ, "PYTHONHASHSEED": "12345"}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == first


def test_the_plan_reaches_its_lower_bound_on_a_chain(make_card):
    built = compiled(prepared("lenet5_relu"), make_card)
    assert built.arena_bytes == built.arena_lower_bound
    assert built.weight_bytes >= 4 * 61_706
