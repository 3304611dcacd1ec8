"""VGG against table 1 and 2 of its paper and against torchvision."""

import pytest
import torch
import torchvision
from torch import nn

# torchvision's figures, multiply-adds at 224 pixels
GMACS = {"vgg11": 7.609, "vgg13": 11.308, "vgg16": 15.47, "vgg19": 19.632}
NAMES = [f"{name}{suffix}" for name in GMACS for suffix in ("", "_bn")]


@pytest.mark.parametrize(
    ("name", "convolutions"), [("vgg11", 8), ("vgg13", 10), ("vgg16", 13), ("vgg19", 16)]
)
def test_it_has_as_many_weight_layers_as_its_name_says(name, convolutions, on_meta):
    layers = [type(module) for module in on_meta(name).modules()]
    assert layers.count(nn.Conv2d) == convolutions
    assert convolutions + layers.count(nn.Linear) == int(name.removeprefix("vgg"))


@pytest.mark.parametrize(
    ("name", "millions"), [("vgg11", 133), ("vgg13", 133), ("vgg16", 138), ("vgg19", 144)]
)
def test_parameters_round_to_table_2(name, millions, on_meta, count_parameters):
    assert round(count_parameters(on_meta(name)) / 1e6) == millions


@pytest.mark.parametrize("name", NAMES)
def test_pooled_maps_have_the_sizes_of_table_1(name, map_shapes):
    shapes = map_shapes(name)
    sizes = [shapes[f"pool{stage}"] for stage in range(1, 6)]
    assert sizes == [(64, 112, 112), (128, 56, 56), (256, 28, 28), (512, 14, 14), (512, 7, 7)]


@pytest.mark.parametrize("name", NAMES)
def test_macs_are_within_half_a_percent_of_the_published(name, count_macs):
    assert count_macs(name) == pytest.approx(GMACS[name.removesuffix("_bn")] * 1e9, rel=0.005)


@pytest.mark.parametrize(("name", "size"), [*((name, 75) for name in NAMES), ("vgg11_bn", 224)])
def test_logits_are_torchvisions(
    name, size, random_network, with_weights_of, images, relative_error
):
    net, x = random_network(name, input_size=size), images(1, 3, size)
    peer = with_weights_of(net, getattr(torchvision.models, name))
    with torch.no_grad():
        assert relative_error(net(x), peer(x)) <= 1e-5


def test_gradients_in_training_are_torchvisions(
    random_network, with_weights_of, images, relative_error, gradients, without_dropout
):
    net, x = random_network("vgg11_bn", input_size=64).train(), images(4, 3, 64)
    peer = without_dropout(with_weights_of(net, torchvision.models.vgg11_bn))
    ours = gradients(without_dropout(net), net.weighted_logits(x))
    theirs = gradients(peer, [(peer(x), 1.0)])
    for key, a, b in zip(dict(net.named_parameters()), ours, theirs, strict=True):
        # a bias before batch normalisation has no effect: its gradient is rounding alone
        if not key.endswith("conv.bias"):
            assert relative_error(a, b) <= 1e-4, key
