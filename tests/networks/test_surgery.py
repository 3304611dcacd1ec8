"""Changes to a network: another head, frozen layers, another dropout."""

import pytest
import torch
from torch import nn

from convforge.errors import NetworkError
from convforge.networks.catalog import create
from convforge.networks.contract import ConvNet
from convforge.networks.surgery import (
    freeze,
    freeze_normalization,
    replace_head,
    set_dropout,
    unfreeze,
)

KINDS = ["lenet5", "lenet5_relu", "alexnet", "nin_cifar", "googlenet", "resnet20"]


@pytest.mark.parametrize("name", KINDS)
def test_replaced_head_has_the_shapes_of_a_network_created_so(name, on_meta):
    net = replace_head(on_meta(name), 7)
    expected = on_meta(name, num_classes=7)
    shapes = {key: value.shape for key, value in net.state_dict().items()}
    assert shapes == {key: value.shape for key, value in expected.state_dict().items()}
    assert (net.num_classes, net.arguments) == (7, expected.arguments)


@pytest.mark.parametrize("name", ["lenet5", "nin_cifar", "resnet20"])
def test_replacing_the_head_keeps_the_features_and_gives_new_logits(name):
    net = create(name).eval()
    x = torch.randn(2, *net.input_shape)
    maps = net.features(x)
    replace_head(net, 3)
    assert torch.equal(net.features(x), maps)
    assert net(x).shape == (2, 3)
    assert torch.isfinite(net(x)).all()


def test_replaced_head_keeps_the_type_of_the_old_one():
    net = replace_head(create("lenet5_relu").double(), 3)
    assert net.head.linear3.weight.dtype == torch.float64


def test_replacing_both_ways_gives_the_digits_codes_back():
    net = create("lenet5")
    codes = net.head.output.codes
    assert torch.equal(replace_head(replace_head(net, 3), 10).head.output.codes, codes)


@pytest.mark.parametrize("num_classes", [0, -1, 2.0, True])
def test_number_of_classes_that_is_none_is_refused_and_changes_nothing(num_classes):
    net = create("lenet5_relu")
    with pytest.raises(NetworkError, match=r"lenet5_relu: num_classes must be a whole number"):
        replace_head(net, num_classes)
    assert net.num_classes == 10


def test_head_without_weights_is_refused():
    net = ConvNet(nn.Sequential(nn.Conv2d(1, 2, 1)), nn.Sequential(nn.Flatten()))
    with pytest.raises(NetworkError, match=r"ConvNet: its head has no linear layer"):
        replace_head(net, 3)


def test_freeze_stops_all_features_and_leaves_the_head():
    net = freeze(create("resnet20"))
    assert not any(p.requires_grad for p in net.features.parameters())
    assert all(p.requires_grad for p in net.head.parameters())


def test_freeze_through_a_layer_stops_there_and_lets_the_rest_learn_again():
    net = freeze(freeze(create("resnet20")), through="stage1")
    learns = {
        name: all(p.requires_grad for p in child.parameters())
        for name, child in net.features.named_children()
    }
    assert learns == {"conv1": False, "stage1": False, "stage2": True, "stage3": True}


def test_frozen_features_give_the_same_maps_after_a_step_of_training():
    net = freeze(create("resnet20"))
    x = torch.randn(4, 3, 32, 32)
    net.eval()
    before = net.features(x)
    net.train()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, weight_decay=0.1)
    nn.functional.cross_entropy(net(x), torch.tensor([0, 1, 2, 3])).backward()
    optimizer.step()
    net.eval()
    assert torch.equal(net.features(x), before)


def test_freeze_refuses_a_layer_that_is_not_there():
    with pytest.raises(NetworkError, match=r"no layer 'stage9'; they are conv1, stage1, stage2"):
        freeze(create("resnet20"), through="stage9")


def test_freeze_normalization_keeps_statistics_and_trains_convolutions():
    net = freeze_normalization(create("resnet20"))
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    before = [norm.running_var.clone() for norm in norms]
    net.train()
    net(torch.randn(4, 3, 32, 32)).sum().backward()
    assert all(torch.equal(a.running_var, b) for a, b in zip(norms, before, strict=True))
    assert net.features.conv1.conv.weight.grad is not None
    assert net.features.conv1.norm.weight.grad is None


def test_unfreeze_lets_everything_learn_again():
    net = unfreeze(freeze_normalization(freeze(create("resnet20"))))
    assert all(p.requires_grad for p in net.parameters())
    assert all(module.training for module in net.modules())


def test_set_dropout_reaches_every_dropout_of_every_head(on_meta):
    net = set_dropout(on_meta("googlenet"), 0.25)
    found = [module.p for module in net.modules() if isinstance(module, nn.Dropout)]
    assert found == [0.25] * 3


@pytest.mark.parametrize("p", [-0.1, 1.0, float("nan")])
def test_dropout_out_of_range_is_refused(p, on_meta):
    with pytest.raises(NetworkError, match=r"alexnet: dropout must be at least 0 and below 1"):
        set_dropout(on_meta("alexnet"), p)


def test_dropout_of_a_network_without_one_is_refused():
    with pytest.raises(NetworkError, match=r"resnet20 has no dropout to set"):
        set_dropout(create("resnet20"), 0.5)
