"""ResNet and the plain networks against their paper, torchvision, timm and plain references."""

from functools import partial

import pytest
import timm
import torch
import torchvision
from torch import nn
from torch.nn import functional as F

from convforge.networks.catalog import create
from convforge.networks.resnet import Bottleneck, Residual, ZeroPadding

# torchvision's figures, multiply-adds at 224 pixels; resnet50_v1: the authors' Caffe network
GMACS = {
    "resnet18": 1.814,
    "resnet34": 3.664,
    "resnet50": 4.089,
    "resnet101": 7.801,
    "resnet152": 11.514,
    "resnet50_v1": 3.858,
}
TORCHVISION = [name for name in GMACS if name != "resnet50_v1"]

# Section 4.2 and table 6: layers → millions of parameters
TABLE_6 = {20: 0.27, 32: 0.46, 44: 0.66, 56: 0.85, 110: 1.7}


def layers_of(name):
    return int(name.removeprefix("resnet").removeprefix("plain"))


def cifar_reference(net, x, *, shortcuts):
    """Section 4.2 from a flat list of weights, with slices for option A."""
    weights = iter(net.state_dict().values())

    def conv(x, stride=1):
        x = F.conv2d(x, next(weights), None, stride, 1)
        scale, shift, mean, variance, _ = (next(weights) for _ in range(5))
        return F.batch_norm(x, mean, variance, scale, shift)

    x = conv(x).relu()
    for width in (16, 32, 64):
        for _ in range((layers_of(net.name) - 2) // 6):
            stride = 2 if x.shape[1] != width else 1
            inside = conv(conv(x, stride).relu())
            if shortcuts:
                same = torch.zeros_like(inside)
                before = (width - x.shape[1]) // 2
                same[:, before : before + x.shape[1]] = x[:, :, ::stride, ::stride]
                inside = inside + same
            x = inside.relu()
    return F.linear(x.mean((2, 3)), next(weights), next(weights))


def torchvision_v1():
    """torchvision's resnet50 with the strides where the paper has them."""
    net = torchvision.models.resnet50()
    for block in net.modules():
        if isinstance(block, torchvision.models.resnet.Bottleneck):
            block.conv1.stride, block.conv2.stride = block.conv2.stride, block.conv1.stride
    return net


def torchvision_plain(build):
    """torchvision's network with every shortcut taken out."""
    net = build()
    for name in ("layer1", "layer2", "layer3", "layer4"):
        blocks = getattr(net, name)
        for index, block in enumerate(blocks):
            layers = (block.conv1, block.bn1, nn.ReLU(), block.conv2, block.bn2, nn.ReLU())
            blocks[index] = nn.Sequential(*layers)
    return net


@pytest.mark.parametrize("name", ["resnet18", "resnet34", "plain18", "plain34"])
def test_stages_have_the_sizes_of_table_1(name, map_shapes):
    assert map_shapes(name) == {
        "conv1": (64, 112, 112),
        "pool1": (64, 56, 56),
        "conv2": (64, 56, 56),
        "conv3": (128, 28, 28),
        "conv4": (256, 14, 14),
        "conv5": (512, 7, 7),
    }


@pytest.mark.parametrize("name", ["resnet50", "resnet50_v1", "resnet101", "resnet152"])
def test_stages_of_bottlenecks_have_the_sizes_of_table_1(name, map_shapes):
    assert map_shapes(name) == {
        "conv1": (64, 112, 112),
        "pool1": (64, 56, 56),
        "conv2": (256, 56, 56),
        "conv3": (512, 28, 28),
        "conv4": (1024, 14, 14),
        "conv5": (2048, 7, 7),
    }


@pytest.mark.parametrize("name", ["resnet20", "resnet110", "plain20", "plain56"])
def test_cifar_stages_have_the_sizes_of_section_4_2(name, map_shapes):
    assert map_shapes(name) == {
        "conv1": (16, 32, 32),
        "stage1": (16, 32, 32),
        "stage2": (32, 16, 16),
        "stage3": (64, 8, 8),
    }


@pytest.mark.parametrize(
    "name",
    [
        *("resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "plain18", "plain34"),
        *("resnet20", "resnet32", "resnet44", "resnet56", "resnet110"),
        *("plain20", "plain32", "plain44", "plain56"),
    ],
)
def test_it_has_as_many_weight_layers_as_its_name_says(name, on_meta):
    layers = [
        module
        for path, module in on_meta(name).named_modules()
        if isinstance(module, (nn.Conv2d, nn.Linear)) and "shortcut" not in path
    ]
    assert len(layers) == layers_of(name)


@pytest.mark.parametrize(("layers", "millions"), TABLE_6.items())
def test_cifar_parameters_round_to_table_6(layers, millions, on_meta, count_parameters):
    assert count_parameters(on_meta(f"resnet{layers}")) / 1e6 == pytest.approx(millions, rel=0.02)


@pytest.mark.parametrize(("name", "gmacs"), GMACS.items())
def test_macs_are_within_half_a_percent_of_the_published(name, gmacs, count_macs):
    assert count_macs(name) == pytest.approx(gmacs * 1e9, rel=0.005)


@pytest.mark.parametrize(("layers", "gmacs"), [(18, 1.8), (34, 3.6)])
def test_plain_networks_and_their_twins_have_the_papers_macs(layers, gmacs, count_macs):
    # table 1 gives one figure to both, rounded to a tenth
    for name in (f"plain{layers}", f"resnet{layers}"):
        assert abs(count_macs(name) / 1e9 - gmacs) < 0.1


@pytest.mark.parametrize(
    ("name", "size"), [*((name, 75) for name in TORCHVISION), ("resnet18", 224), ("resnet50", 224)]
)
def test_logits_are_torchvisions(
    name, size, random_network, with_weights_of, images, relative_error
):
    net, x = random_network(name, input_size=size), images(2, 3, size)
    peer = with_weights_of(net, getattr(torchvision.models, name))
    with torch.no_grad():
        assert relative_error(net(x), peer(x)) <= 1e-5


@pytest.mark.parametrize("name", TORCHVISION)
def test_logits_are_timms(name, random_network, with_weights_of, images, relative_error):
    net, x = random_network(name, input_size=67), images(2, 3, 67)
    peer = with_weights_of(net, partial(timm.create_model, name))
    with torch.no_grad():
        assert relative_error(net(x), peer(x)) <= 1e-5


def test_logits_with_the_papers_strides_are_torchvisions_with_theirs_moved(
    random_network, with_weights_of, images, relative_error
):
    net, x = random_network("resnet50_v1", input_size=75), images(2, 3, 75)
    peer = with_weights_of(net, torchvision_v1)
    with torch.no_grad():
        assert relative_error(net(x), peer(x)) <= 1e-5


@pytest.mark.parametrize("layers", [18, 34])
def test_plain_logits_are_torchvisions_without_shortcuts(
    layers, random_network, with_weights_of, images, relative_error
):
    net, x = random_network(f"plain{layers}", input_size=75), images(2, 3, 75)
    build = getattr(torchvision.models, f"resnet{layers}")
    peer = with_weights_of(net, partial(torchvision_plain, build))
    with torch.no_grad():
        assert relative_error(net(x), peer(x)) <= 1e-5


@pytest.mark.parametrize("size", [32, 29])
@pytest.mark.parametrize("name", ["resnet20", "resnet56", "plain20", "plain44"])
def test_cifar_logits_are_those_of_the_reference(
    name, size, random_network, images, relative_error
):
    net, x = random_network(name, input_size=size), images(2, 3, size)
    with torch.no_grad():
        expected = cifar_reference(net, x, shortcuts=name.startswith("resnet"))
        assert relative_error(net(x), expected) <= 1e-5


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_gradients_in_training_are_torchvisions(
    name, random_network, with_weights_of, images, relative_error, gradients
):
    net, x = random_network(name, input_size=97).train(), images(4, 3, 97)
    peer = with_weights_of(net, getattr(torchvision.models, name))
    ours = gradients(net, net.weighted_logits(x))
    for a, b in zip(ours, gradients(peer, [(peer(x), 1.0)]), strict=True):
        assert relative_error(a, b) <= 1e-4


def test_a_residual_block_adds_its_input():
    block = Residual(8, 8).eval()
    for parameter in block.parameters():
        nn.init.zeros_(parameter)
    x = torch.randn(1, 8, 5, 5)
    assert torch.equal(block(x), x.relu())


def test_a_bottleneck_halves_in_the_convolution_that_is_named():
    strides = {
        strided: [
            layer.conv.stride[0] for layer in Bottleneck(8, 16, stride=2, strided=strided).body
        ]
        for strided in ("conv1", "conv2")
    }
    assert strides == {"conv1": [2, 1, 1], "conv2": [1, 2, 1]}


def test_zero_padding_takes_every_second_pixel_between_new_maps_of_zeros():
    x = torch.randn(2, 3, 5, 4)
    result = ZeroPadding(3, 8, 2)(x)
    assert result.shape == (2, 8, 3, 2)
    assert torch.equal(result[:, 2:5], x[:, :, ::2, ::2])
    assert not result[:, :2].any()
    assert not result[:, 5:].any()


def test_cifar_shortcuts_have_no_parameters():
    net = create("resnet20")
    shortcuts = [module for path, module in net.named_modules() if path.endswith("shortcut")]
    assert len(shortcuts) == 9
    assert not [p for shortcut in shortcuts for p in shortcut.parameters()]


def test_convolutions_are_drawn_with_kaimings_deviation():
    torch.manual_seed(0)
    net = create("resnet20")
    for path, module in net.named_modules():
        if isinstance(module, nn.Conv2d):
            expected = (2 / (module.out_channels * 9)) ** 0.5
            assert module.weight.std().item() == pytest.approx(expected, rel=0.15), path
