"""What papers, authors and libraries publish of the catalogue's networks: plain facts, no code.

Counts are exact integers where the source gives them; a text such as "0.27 M" is rounded as its
source rounds it. M is 10^6 and G 10^9. Multiply-adds are what papers call FLOPs, or Mult-Adds.
"""

from __future__ import annotations

from typing import NamedTuple


class Cost(NamedTuple):
    """Parameters and multiply-adds by one source; at `input_size` pixels where not the default."""

    source: str
    parameters: int | str | None
    macs: str | None
    input_size: int | None = None


TORCHVISION = "torchvision"
VGG_2 = "paper, table 2"
HE_1 = "paper, table 1"
HE_6 = "paper, table 6"
TAN_2 = "paper, table 2"
LITE = "authors' README"

COSTS: dict[str, tuple[Cost, ...]] = {
    "lenet5": (Cost("paper, section II.B", 60_000, None),),
    "alexnet": (
        Cost("paper, abstract", "60 M", None),
        Cost("Sze et al. 2017, table II", "61 M", "724 M"),
    ),
    "alexnet_owt": (Cost(TORCHVISION, 61_100_840, "0.714 G"),),
    "nin": (Cost("authors' file, 29 MiB", "7.6 M", None),),
    "vgg11": (Cost(VGG_2, "133 M", None), Cost(TORCHVISION, 132_863_336, "7.609 G")),
    "vgg13": (Cost(VGG_2, "133 M", None), Cost(TORCHVISION, 133_047_848, "11.308 G")),
    "vgg16": (Cost(VGG_2, "138 M", None), Cost(TORCHVISION, 138_357_544, "15.470 G")),
    "vgg19": (Cost(VGG_2, "144 M", None), Cost(TORCHVISION, 143_667_240, "19.632 G")),
    "vgg11_bn": (Cost(TORCHVISION, 132_868_840, "7.609 G"),),
    "vgg13_bn": (Cost(TORCHVISION, 133_053_736, "11.308 G"),),
    "vgg16_bn": (Cost(TORCHVISION, 138_365_992, "15.470 G"),),
    "vgg19_bn": (Cost(TORCHVISION, 143_678_248, "19.632 G"),),
    "googlenet": (Cost("paper, section 1", None, "1.5 G"),),
    "googlenet_bn": (Cost(TORCHVISION, 6_624_904, "1.498 G"),),
    "resnet18": (Cost(HE_1, None, "1.8 G"), Cost(TORCHVISION, 11_689_512, "1.814 G")),
    "resnet34": (Cost(HE_1, None, "3.6 G"), Cost(TORCHVISION, 21_797_672, "3.664 G")),
    "resnet50": (Cost(TORCHVISION, 25_557_032, "4.089 G"),),
    "resnet50_v1": (Cost(HE_1, None, "3.8 G"),),
    "resnet101": (Cost(HE_1, None, "7.6 G"), Cost(TORCHVISION, 44_549_160, "7.801 G")),
    "resnet152": (Cost(HE_1, None, "11.3 G"), Cost(TORCHVISION, 60_192_808, "11.514 G")),
    "plain18": (Cost(HE_1, None, "1.8 G"),),
    "plain34": (Cost(HE_1, None, "3.6 G"),),
    "resnet20": (Cost(HE_6, "0.27 M", None),),
    "resnet32": (Cost(HE_6, "0.46 M", None),),
    "resnet44": (Cost(HE_6, "0.66 M", None),),
    "resnet56": (Cost(HE_6, "0.85 M", None),),
    "resnet110": (Cost(HE_6, "1.7 M", None),),
    "mobilenet_v1": (
        Cost("paper, table 6", "4.2 M", "569 M"),
        Cost("authors' README", "4.24 M", "569 M"),
    ),
    "mobilenet_v2": (
        Cost("paper, table 4", "3.4 M", "300 M"),
        Cost(TORCHVISION, 3_504_872, "0.301 G"),
    ),
    "efficientnet_b0": (Cost(TAN_2, "5.3 M", "0.39 G"), Cost(TORCHVISION, 5_288_548, "0.386 G")),
    "efficientnet_b1": (Cost(TAN_2, "7.8 M", "0.70 G"), Cost(TORCHVISION, 7_794_184, "0.687 G")),
    "efficientnet_b2": (
        Cost(TAN_2, "9.2 M", "1.0 G"),
        Cost(TORCHVISION, 9_109_994, "1.088 G", input_size=288),
    ),
    "efficientnet_b3": (Cost(TAN_2, "12 M", "1.8 G"), Cost(TORCHVISION, 12_233_232, "1.827 G")),
    "efficientnet_b4": (Cost(TAN_2, "19 M", "4.2 G"), Cost(TORCHVISION, 19_341_616, "4.394 G")),
    "efficientnet_b5": (Cost(TAN_2, "30 M", "9.9 G"), Cost(TORCHVISION, 30_389_784, "10.266 G")),
    "efficientnet_b6": (Cost(TAN_2, "43 M", "19 G"), Cost(TORCHVISION, 43_040_704, "19.068 G")),
    "efficientnet_b7": (Cost(TAN_2, "66 M", "37 G"), Cost(TORCHVISION, 66_347_960, "37.746 G")),
    "efficientnet_lite0": (Cost(LITE, "4.7 M", "407 M"),),
    "efficientnet_lite1": (Cost(LITE, "5.4 M", "631 M"),),
    "efficientnet_lite2": (Cost(LITE, "6.1 M", "899 M"),),
    "efficientnet_lite3": (Cost(LITE, "8.2 M", "1.44 G"),),
    "efficientnet_lite4": (Cost(LITE, "13.0 M", "2.64 G"),),
}

# Top-1 accuracy in per cent by the paper or its authors, on ImageNet's validation set with one view
# of each image, unless it says otherwise.
TOP_1: dict[str, str] = {
    "lenet5": "99.05 (MNIST)",
    "alexnet": "59.3 (10 crops)",
    "nin": "59.36",
    "nin_cifar": "91.19 (CIFAR-10)",
    "vgg11": "70.4",
    "vgg13": "71.3",
    "vgg16": "74.4",
    "vgg19": "74.5",
    "resnet34": "75.48 (10 crops)",
    "resnet50_v1": "77.15 (10 crops)",
    "resnet101": "78.25 (10 crops)",
    "resnet152": "78.57 (10 crops)",
    "plain18": "72.06 (10 crops)",
    "plain34": "71.46 (10 crops)",
    "resnet20": "91.25 (CIFAR-10)",
    "resnet32": "92.49 (CIFAR-10)",
    "resnet44": "92.83 (CIFAR-10)",
    "resnet56": "93.03 (CIFAR-10)",
    "resnet110": "93.57 (CIFAR-10)",
    "mobilenet_v1": "70.6",
    "mobilenet_v2": "72.0",
    "efficientnet_b0": "77.1",
    "efficientnet_b1": "79.1",
    "efficientnet_b2": "80.1",
    "efficientnet_b3": "81.6",
    "efficientnet_b4": "82.9",
    "efficientnet_b5": "83.6",
    "efficientnet_b6": "84.0",
    "efficientnet_b7": "84.3",
    "efficientnet_lite0": "75.1",
    "efficientnet_lite1": "76.7",
    "efficientnet_lite2": "77.6",
    "efficientnet_lite3": "79.8",
    "efficientnet_lite4": "81.5",
}

# LeCun et al. 1998, section II.B: layer → trainable parameters, connections.
LENET_5 = {
    "c1": (156, 122_304),
    "s2": (12, 5_880),
    "c3": (1_516, 151_600),
    "s4": (32, 2_000),
    "c5": (48_120, 48_120),
    "f6": (10_164, 10_164),
}
LENET_5_CONNECTIONS = 340_908  # with those of the output

# Szegedy et al. 2015, table 1: row → parameters in units of 1024, million operations.
GOOGLENET_1 = {
    "conv1": (2.7, 34),
    "conv2": (112, 360),
    "inception3a": (159, 128),
    "inception3b": (380, 304),
    "inception4a": (364, 73),
    "inception4b": (437, 88),
    "inception4c": (463, 100),
    "inception4d": (580, 119),
    "inception4e": (840, 170),
    "inception5a": (1072, 54),
    "inception5b": (1388, 71),
    "linear": (1000, 1),
}

# He et al. 2016, table 6: layers → error on CIFAR-10 in per cent.
CIFAR_ERROR = {20: 8.75, 32: 7.51, 44: 7.17, 56: 6.97, 110: 6.43}

# Howard et al. 2017, table 2: kind → share of the multiply-adds, share of the parameters, per cent.
MOBILENET_SHARES = {
    "1x1 convolutions": (94.86, 74.59),
    "3x3 depthwise convolutions": (3.06, 1.06),
    "first convolution": (1.19, 0.02),
    "linear layer": (0.18, 24.33),
}

# (width, input size in pixels): million multiply-adds, million parameters, top-1 accuracy in per
# cent. Howard et al. 2017, tables 6 and 7; for v2 the authors' README, whose parameters leave the
# normalisation out.
MOBILENET_V1 = {
    (1.0, 224): (569, 4.2, 70.6),
    (0.75, 224): (325, 2.6, 68.4),
    (0.5, 224): (149, 1.3, 63.7),
    (0.25, 224): (41, 0.5, 50.6),
    (1.0, 192): (418, 4.2, 69.1),
    (1.0, 160): (290, 4.2, 67.2),
    (1.0, 128): (186, 4.2, 64.4),
}
MOBILENET_V2 = {
    (1.4, 224): (582, 6.06, 75.0),
    (1.3, 224): (509, 5.34, 74.4),
    (1.0, 224): (300, 3.47, 71.8),
    (0.75, 224): (209, 2.61, 69.8),
    (0.5, 224): (97, 1.95, 65.4),
    (0.35, 224): (59, 1.66, 60.3),
    (1.0, 192): (221, 3.47, 70.7),
    (1.0, 160): (154, 3.47, 68.8),
    (1.0, 128): (99, 3.47, 65.3),
    (1.0, 96): (56, 3.47, 60.3),
}
