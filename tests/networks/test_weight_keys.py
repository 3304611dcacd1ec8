"""Names of weights, sorted from input to output as their libraries define them."""

import random

import pytest
import timm
import torch
from efficientnet_lite_pytorch import EfficientNet
from torchvision import models

from convforge.errors import WeightsError
from convforge.networks.weight_keys import forward_order

PEERS = {
    **{
        f"torchvision {name}": lambda name=name: models.get_model(name)
        for name in (
            "alexnet",
            "vgg19_bn",
            "resnet34",
            "resnet152",
            "mobilenet_v2",
            "efficientnet_b3",
        )
    },
    "torchvision googlenet": lambda: models.googlenet(init_weights=False),
    **{
        f"timm {name}": lambda name=name: timm.create_model(name)
        for name in (
            "vgg11",
            "resnet50",
            "mobilenetv1_100",
            "mobilenetv2_100",
            "tf_efficientnet_b1",
            "tf_efficientnet_lite2",
        )
    },
    "efficientnet_lite_pytorch": lambda: EfficientNet.from_name("efficientnet-lite1"),
    "efficientnet_pytorch": lambda: EfficientNet.from_name("efficientnet-b0"),
}


@pytest.mark.parametrize("peer", PEERS)
def test_shuffled_names_come_back_in_the_order_of_their_library(peer):
    with torch.device("meta"):
        names = list(PEERS[peer]().state_dict())
    names = [name for name in names if not name.endswith("num_batches_tracked")]
    shuffled = random.Random(0).sample(names, len(names))
    assert list(forward_order(shuffled, origin="a file")) == names


def test_a_timm_block_is_sorted_by_what_it_holds():
    separable = ["conv_pw.weight", "bn2.weight", "conv_dw.weight", "bn1.weight"]
    assert forward_order(separable, origin="a file") == (
        "conv_dw.weight",
        "bn1.weight",
        "conv_pw.weight",
        "bn2.weight",
    )
    inverted = [*separable, "conv_pwl.weight", "bn3.weight"]
    assert forward_order(inverted, origin="a file") == (
        "conv_pw.weight",
        "bn1.weight",
        "conv_dw.weight",
        "bn2.weight",
        "conv_pwl.weight",
        "bn3.weight",
    )


def test_numbers_are_sorted_as_numbers():
    names = [f"features.{number}.weight" for number in (10, 2, 0)]
    assert forward_order(names, origin="a file") == tuple(
        f"features.{number}.weight" for number in (0, 2, 10)
    )


def test_names_of_no_known_library_are_refused_naming_them():
    names = ["encoder.patch.weight", "encoder.norm.weight", "encoder.features.weight"]
    with pytest.raises(
        WeightsError, match=r"vit\.pth: the names encoder\.patch, encoder\.norm are not of torch"
    ):
        forward_order(names, origin="vit.pth")
