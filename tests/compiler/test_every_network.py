"""Every network of the catalogue, and torchvision's newer ones: the artifact against torch.

Weights are random, and so is what starts at 0 or 1 (biases, shifts and scales, the statistics of
BatchNorm), so that no layer is left out unnoticed. Torch computes in float64.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from convforge.compiler.backend.target import native
from convforge.compiler.frontends.torch import from_torch
from convforge.compiler.ir.graph import Node
from convforge.networks.catalog import CATALOG, create

TORCHVISION = (
    *("densenet121", "squeezenet1_1", "shufflenet_v2_x1_0", "mobilenet_v3_large", "mnasnet1_0"),
    *("regnet_y_400mf", "inception_v3", "resnext50_32x4d", "convnext_tiny", "efficientnet_v2_s"),
)


def sizes(name):
    """The usual size, and an odd one."""
    if name == "inception_v3":  # smaller ones leave nothing of its side branches
        return 299, 225
    return 224, 33 if name in CATALOG and CATALOG[name].input_size < 64 else 193


def build(name, size):
    torch.manual_seed(0)
    if name in CATALOG:
        return randomized(create(name, input_size=size))
    from torchvision import models

    extra = {"init_weights": True} if name == "inception_v3" else {}
    return randomized(getattr(models, name)(weights=None, **extra))


def randomized(net):
    with torch.no_grad():
        for parameter in net.parameters():
            values = parameter.unique()
            if len(values) == 1:
                parameter.normal_(0, 0.1) if values[0] == 0 else parameter.uniform_(0.5, 1.5)
        for layer in net.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.running_mean.normal_(0, 0.1)
                layer.running_var.uniform_(0.5, 2)
    return net.eval()


@pytest.fixture
def best(make_graph, open_compiled):
    """The native target with the best level that this CPU has alone."""
    step = Node("y", "elementwise", ("x",), {}, (("relu",),))
    level = open_compiled(make_graph(step, shape=(1, 1, 1, 1)), target=native()).level
    levels = tuple(found for found in native().levels if found.name == level)
    return replace(native(), levels=levels)


def check(open_compiled, name, size, *, target):
    net = build(name, size)
    channels = net.input_shape[0] if name in CATALOG else 3

    def torch_computes(x):
        with torch.no_grad():
            return net(torch.from_numpy(x)).numpy()

    graph = from_torch(net, (channels, size, size))
    runtime = open_compiled(graph, target=target, expected=torch_computes)
    runtime.selftest()
    x = torch.randn(1, channels, size, size)
    with torch.no_grad():
        truth = net.double()(x.double()).numpy()
    error = np.abs(runtime.run(x.numpy()) - truth).max() / np.abs(truth).max()
    assert error <= 1e-5


@pytest.mark.parametrize(
    ("name", "size"),
    [("shufflenet_v2_x1_0", 65), ("mobilenet_v3_large", 65), ("convnext_tiny", 33)],
)
def test_a_few_networks_compute_what_torch_does(open_compiled, best, name, size):
    check(open_compiled, name, size, target=best)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "size"), [(name, size) for name in (*CATALOG, *TORCHVISION) for size in sizes(name)]
)
def test_every_network_computes_what_torch_does(open_compiled, best, name, size):
    check(open_compiled, name, size, target=best)
