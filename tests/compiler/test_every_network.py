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
    largest = np.abs(truth).max()
    error = np.abs(runtime.run(x.numpy()) - truth).max() / largest
    # With random weights the deepest EfficientNet-Lite loses more than this in torch's float32 too.
    net.float()
    lost = np.abs(torch_computes(x.numpy()) - truth).max() / largest
    assert error <= max(1e-5, 2 * lost)


@pytest.mark.parametrize(
    ("name", "size"),
    [("shufflenet_v2_x1_0", 65), ("mobilenet_v3_large", 65)],
)
def test_a_few_networks_compute_what_torch_does(open_compiled, best, name, size):
    check(open_compiled, name, size, target=best)


class Everything(nn.Module):
    """A layer of each kind, on maps and on vectors."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.SiLU())
        self.depthwise = nn.Conv2d(16, 16, 5, padding=2, groups=16)
        self.squeeze = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(16, 16, 1), nn.Sigmoid())
        self.norm = nn.LayerNorm(16)
        self.mlp = nn.Sequential(nn.Linear(16, 24), nn.GELU(), nn.Linear(24, 16))
        self.slopes = nn.PReLU(16)
        self.group = nn.GroupNorm(4, 16)
        self.head = nn.Linear(16 * 6 + 16, 7)

    def forward(self, x):
        x = self.stem(x)
        x = x + self.mlp(self.norm(self.depthwise(x).permute(0, 2, 3, 1))).permute(0, 3, 1, 2)
        x = x * self.squeeze(x) + x.mean(1, keepdim=True)
        left, right = nn.functional.channel_shuffle(x, 2).chunk(2, 1)
        small = nn.functional.max_pool2d(left, 3, 2, 1, ceil_mode=True)
        small = nn.functional.interpolate(small, scale_factor=2, mode="bilinear")
        small = small[:, :, : x.shape[2], : x.shape[3]]
        x = self.slopes(torch.cat([small - right, right / (1 + left.abs())], 1))
        x = self.group(x).softmax(1)
        maps = nn.functional.adaptive_avg_pool2d(x, (2, 3)).flatten(1)
        return self.head(torch.cat([maps, x.amax((2, 3))], 1))


@pytest.mark.parametrize("images", [1, 2, 5])
def test_several_images_are_computed_at_once(open_compiled, images):
    torch.manual_seed(0)
    net = randomized(Everything())
    runtime = open_compiled(from_torch(net, (3, 21, 26), images=images))
    x = torch.randn(images, 3, 21, 26)
    with torch.no_grad():
        truth = net.double()(x.double()).numpy()
    assert np.abs(runtime.run(x.numpy()) - truth).max() <= 1e-5 * np.abs(truth).max()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "size"), [(name, size) for name in (*CATALOG, *TORCHVISION) for size in sizes(name)]
)
def test_every_network_computes_what_torch_does(open_compiled, best, name, size):
    check(open_compiled, name, size, target=best)
