"""Network in Network against the authors' published Caffe networks."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from convforge.networks.catalog import create
from convforge.networks.nin import MlpConv


def reference(net, x, layers):
    """The published list of layers, run one by one on the same weights."""
    weights = iter(net.state_dict().values())
    for layer in layers:
        match layer:
            case ("conv", stride, padding):
                x = F.conv2d(x, next(weights), next(weights), stride, padding).relu()
            case "max":
                x = F.max_pool2d(x, 3, 2, ceil_mode=True)
            case "average":
                x = F.avg_pool2d(x, 3, 2, ceil_mode=True)
    assert next(weights, None) is None
    return x.mean((2, 3))


CCCP = ("conv", 1, 0)  # the 1x1 convolutions, by their Caffe name
IMAGENET = (
    *(("conv", 4, 0), CCCP, CCCP, "max"),
    *(("conv", 1, 2), CCCP, CCCP, "max"),
    *(("conv", 1, 1), CCCP, CCCP, "max"),
    *(("conv", 1, 1), CCCP, CCCP),
)
CIFAR = (
    *(("conv", 1, 2), CCCP, CCCP, "max"),
    *(("conv", 1, 2), CCCP, CCCP, "average"),
    *(("conv", 1, 1), CCCP, CCCP),
)


def test_imagenet_maps_have_the_published_sizes(map_shapes):
    assert map_shapes("nin") == {
        "mlpconv1": (96, 54, 54),
        "max1": (96, 27, 27),
        "mlpconv2": (256, 27, 27),
        "max2": (256, 13, 13),
        "mlpconv3": (384, 13, 13),
        "max3": (384, 6, 6),
        "dropout3": (384, 6, 6),
        "mlpconv4": (1024, 6, 6),
    }


def test_cifar_maps_have_the_published_sizes(map_shapes):
    assert map_shapes("nin_cifar") == {
        "mlpconv1": (96, 32, 32),
        "max1": (96, 16, 16),
        "dropout1": (96, 16, 16),
        "mlpconv2": (192, 16, 16),
        "average2": (192, 8, 8),
        "dropout2": (192, 8, 8),
        "mlpconv3": (192, 8, 8),
    }


# Of each perceptron convolution: pixels of its maps, and the weights that run over each
MACS = {
    "nin": (
        (54 * 54, 96 * 11 * 11 * 3 + 2 * 96 * 96),
        (27 * 27, 256 * 5 * 5 * 96 + 2 * 256 * 256),
        (13 * 13, 384 * 3 * 3 * 256 + 2 * 384 * 384),
        (6 * 6, 1024 * 3 * 3 * 384 + 1024 * 1024 + 1000 * 1024),
    ),
    "nin_cifar": (
        (32 * 32, 192 * 5 * 5 * 3 + 160 * 192 + 96 * 160),
        (16 * 16, 192 * 5 * 5 * 96 + 2 * 192 * 192),
        (8 * 8, 192 * 3 * 3 * 192 + 192 * 192 + 10 * 192),
    ),
}


@pytest.mark.parametrize("name", MACS)
def test_macs_are_those_of_the_published_layers(name, count_macs):
    assert count_macs(name) == sum(pixels * weights for pixels, weights in MACS[name])


@pytest.mark.parametrize(
    ("name", "size", "layers"),
    [("nin", 224, IMAGENET), ("nin", 131, IMAGENET), ("nin_cifar", 32, CIFAR)],
)
def test_logits_are_those_of_the_published_layers(
    name, size, layers, random_network, images, relative_error
):
    net, x = random_network(name, input_size=size), images(2, 3, size)
    with torch.no_grad():
        assert relative_error(net(x), reference(net, x, layers)) <= 1e-5


def test_mlpconv_is_the_same_perceptron_at_every_position():
    block = MlpConv(3, (8, 5, 4), kernel_size=3)
    x = torch.randn(1, 3, 6, 6)
    maps = block(x)
    perceptron = nn.Sequential(nn.Linear(27, 8), nn.ReLU(), nn.Linear(8, 5), nn.ReLU())
    perceptron.extend([nn.Linear(5, 4), nn.ReLU()])
    for linear, conv in zip(perceptron[::2], (block.conv, block.mlp1, block.mlp2), strict=True):
        linear.weight, linear.bias = nn.Parameter(conv.weight.flatten(1)), conv.bias
    patch = F.pad(x, (1, 1, 1, 1))[0, :, 2:5, 3:6].flatten()
    torch.testing.assert_close(maps[0, :, 2, 3], perceptron(patch))


def test_head_averages_one_map_a_class():
    net = create("nin_cifar").eval()
    x = torch.randn(2, 3, 32, 32)
    maps = net.head.conv(net.features(x)).relu()
    assert maps.shape == (2, 10, 8, 8)
    torch.testing.assert_close(net(x), maps.mean((2, 3)))
