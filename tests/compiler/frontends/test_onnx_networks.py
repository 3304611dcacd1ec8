"""Whole networks as ONNX files: the artifact against onnxruntime, the graph against torch's."""

from __future__ import annotations

import warnings
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper, version_converter

from convforge.compiler.backend.target import native
from convforge.compiler.frontends.onnx import from_onnx
from convforge.compiler.frontends.torch import from_torch
from convforge.compiler.ir.reference import evaluate
from convforge.compiler.ir.verify import verify
from convforge.networks.catalog import CATALOG, create

LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
LARGEST_ERROR = 1e-5  # of the largest logit
# Inputs of operators that must not be near 0: scales and variances.
POSITIVE = {("BatchNormalization", 1), ("BatchNormalization", 4), ("Unsqueeze", 0)}


def light(name):
    """One of ONNX's networks without weights, with random ones, up to its logits."""
    model = version_converter.convert_version(onnx.load(LIGHT / f"light_{name}.onnx"), 17)
    model.ir_version = 8  # of opset 17
    graph, generator = model.graph, np.random.default_rng(0)
    shapes = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    roles = defaultdict(set)
    for node in graph.node:
        for position, value in enumerate(node.input):
            roles[value].add((node.op_type, position))
    kept = []
    for node in graph.node:
        if node.op_type != "ConstantOfShape":
            kept.append(node)
            continue
        shape = tuple(shapes[node.input[0]])
        weight = draw(generator, shape, positive=bool(roles[node.output[0]] & POSITIVE))
        graph.initializer.append(numpy_helper.from_array(weight, node.output[0]))
    graph.ClearField("node")
    graph.node.extend(kept)
    constants = {tensor.name for tensor in graph.initializer}
    given = [value for value in graph.input if value.name not in constants]
    graph.ClearField("input")
    graph.input.extend(given)
    probabilities = next((node for node in kept if node.op_type == "Softmax"), None)
    if probabilities is not None:
        graph.output[0].name = probabilities.input[0]
        graph.output[0].type.tensor_type.shape.Clear()
    return onnx.shape_inference.infer_shapes(model)


def draw(generator, shape, *, positive):
    if len(shape) > 1:  # as He et al. draw them, so that values stay as large as they are
        deviation = np.sqrt(2 / np.prod(shape[1:]))
        return (generator.standard_normal(shape, np.float32) * deviation).astype(np.float32)
    low, high = (0.5, 1.5) if positive else (-0.3, 0.3)
    return generator.uniform(low, high, shape).astype(np.float32)


SMALLEST, *OTHERS = (
    *("squeezenet", "bvlc_alexnet", "densenet121", "inception_v1", "inception_v2"),
    *("resnet50", "shufflenet", "vgg19", "zfnet512"),
)


@pytest.mark.parametrize(
    ("name", "choose"),
    [
        (SMALLEST, lambda: replace(native(), levels=native().levels[-1:])),
        *(pytest.param(name, native, marks=pytest.mark.slow) for name in OTHERS),
    ],
)
def test_artifacts_of_onnxs_networks_compute_what_onnxruntime_does(
    name, choose, open_compiled, tmp_path
):
    import onnxruntime

    path = tmp_path / "net.onnx"
    onnx.save(light(name), path)
    graph = from_onnx(path)
    x = np.random.default_rng(1).standard_normal(graph.input_shape, np.float32)
    (truth,) = onnxruntime.InferenceSession(path).run(None, {graph.input: x})
    found = open_compiled(graph, target=choose()).run(x)
    assert found.shape == truth.shape
    assert np.abs(found - truth).max() <= LARGEST_ERROR * np.abs(truth).max()


def exported(net, path, *, dynamo, shape):
    """Path of what torch.onnx.export writes, by its exporter of today or the one before."""
    options = {"external_data": False, "verbose": False} if dynamo else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about what torch itself will leave out one day
        torch.onnx.export(net, (torch.zeros(shape),), path, dynamo=dynamo, **options)
    return path


def randomized(net):
    """The network in eval mode with statistics and scales that are not 0 and 1."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, value in (*net.named_parameters(), *net.named_buffers()):
            if name.endswith("running_var") or (value.ndim == 1 and name.endswith("weight")):
                value.uniform_(0.5, 1.5, generator=generator)
            elif name.endswith(("running_mean", "bias")):
                value.uniform_(-0.2, 0.2, generator=generator)
    return net.eval()


def build(name):
    torch.manual_seed(0)
    if name in CATALOG:
        return randomized(create(name))
    from torchvision import models

    return randomized(getattr(models, name)(weights=None))


LARGER = (
    *("mobilenet_v2", "efficientnet_b0", "resnet50"),  # of the catalogue; the rest is torchvision's
    *("convnext_tiny", "densenet121", "mobilenet_v3_small", "shufflenet_v2_x0_5", "squeezenet1_1"),
)
SMALL = {"lenet5_relu": (1, 32), "resnet20": (3, 32)}


@pytest.mark.parametrize("dynamo", [False, True])
@pytest.mark.parametrize(
    "name",
    [
        "lenet5_relu",
        "resnet20",
        *(pytest.param(name, marks=pytest.mark.slow) for name in LARGER),
    ],
)
def test_what_torch_exports_is_what_torchs_front_end_reads(name, dynamo, tmp_path):
    net = build(name)
    channels, size = SMALL.get(name, (3, 64))
    shape = (1, channels, size, size)
    graph = from_onnx(exported(net, tmp_path / "net.onnx", dynamo=dynamo, shape=shape))
    verify(graph)
    x = np.random.default_rng(0).standard_normal(shape)
    expected = evaluate(from_torch(net, shape[1:]), x)
    found = evaluate(graph, x)
    assert found.shape == expected.shape
    # The exporters fold BatchNorm into weights in float32.
    assert np.abs(found - expected).max() <= 2e-6 * np.abs(expected).max()
