"""The contract: forward is head after features, frozen normalisation stays, sizes are refused."""

import pytest
import torch
from torch import nn

from convforge.errors import NetworkError
from convforge.networks.contract import ConvNet, check_input_size, map_shape, output_shape


def small(side):
    features = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.MaxPool2d(2))
    head = nn.Sequential(nn.Flatten(), nn.Linear(4 * max(1, (side - 2) // 2) ** 2, 5))
    return ConvNet(features, head)


def test_forward_is_the_head_of_the_features():
    net, x = small(8).eval(), torch.randn(2, 1, 8, 8)
    assert torch.equal(net(x), net.head(net.features(x)))


def test_training_sums_the_main_logits_alone_at_weight_1():
    net, x = small(8).eval(), torch.randn(2, 1, 8, 8)
    ((logits, weight),) = net.weighted_logits(x)
    assert weight == 1
    assert torch.equal(logits, net(x))
    assert net.heads() == (net.head,)


def test_normalisation_with_frozen_weights_keeps_its_statistics_in_training():
    net = small(8)
    norm = net.features[1]
    norm.requires_grad_(False)
    net.train()
    assert net.training
    assert not norm.training
    before = norm.running_mean.clone()
    net(torch.randn(4, 1, 8, 8) + 3)
    assert torch.equal(norm.running_mean, before)


def test_normalisation_that_learns_or_has_no_weights_follows_the_mode():
    net = ConvNet(nn.Sequential(nn.BatchNorm2d(1), nn.BatchNorm2d(1, affine=False)), small(8).head)
    assert [m.training for m in net.train().features] == [True, True]
    assert [m.training for m in net.eval().features] == [False, False]


def test_output_shape_is_none_where_the_kernel_does_not_fit():
    assert output_shape(lambda: nn.Conv2d(1, 4, 3), (1, 2, 2)) is None
    assert output_shape(lambda: nn.Conv2d(1, 4, 3), (1, 5, 4)) == (1, 4, 3, 2)


def test_map_shape_refuses_an_input_that_leaves_no_map():
    def layers():
        return nn.Conv2d(1, 4, 3)

    assert map_shape("net", layers, in_channels=1, input_size=5) == (4, 3, 3)
    with pytest.raises(NetworkError, match=r"net: an input of 2x2 pixels leaves nothing"):
        map_shape("net", layers, in_channels=1, input_size=2)


def test_input_size_below_the_smallest_is_refused_naming_it():
    check_input_size("net", small, in_channels=1, input_size=4)
    with pytest.raises(NetworkError, match=r"3x3 pixels .* the smallest that works is 4x4$"):
        check_input_size("net", small, in_channels=1, input_size=3)


def test_a_network_that_takes_no_size_says_so():
    with pytest.raises(NetworkError, match=r"no input size up to 1024 works"):
        check_input_size("net", lambda size: nn.Linear(7, 7), in_channels=1, input_size=8)


def test_an_argument_error_of_the_builder_is_not_blamed_on_the_size():
    def build(size):
        raise NetworkError("net: width must be above 0")

    with pytest.raises(NetworkError, match=r"^net: width must be above 0$"):
        check_input_size("net", build, in_channels=1, input_size=8)
