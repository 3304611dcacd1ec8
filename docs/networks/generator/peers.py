"""Which form of a network each library has: names to build it by, from the libraries' own lists.

torchvision's and timm's names are held against the installed packages by a test. Keras' are those
of Keras 3, keras.applications, read from its source.
"""

from __future__ import annotations

from typing import NamedTuple


class Form(NamedTuple):
    """One form, and its names in each library.

    Where timm or torchvision is said to lack it, none of its names may match `absent`.
    """

    what: str
    convforge: tuple[str, ...]
    torchvision: tuple[str, ...] = ()
    timm: tuple[str, ...] = ()
    keras: tuple[str, ...] = ()
    absent: str = ""


VGG = ("vgg11", "vgg13", "vgg16", "vgg19")
VGG_BN = ("vgg11_bn", "vgg13_bn", "vgg16_bn", "vgg19_bn")
BASIC = ("resnet18", "resnet34")
DEEP = ("resnet50", "resnet101", "resnet152")
KERAS_DEEP = ("ResNet50", "ResNet101", "ResNet152")
CIFAR = ("resnet20", "resnet32", "resnet44", "resnet56", "resnet110")
PLAIN = ("plain18", "plain34", "plain20", "plain32", "plain44", "plain56")
B = tuple(f"efficientnet_b{number}" for number in range(8))
TF_B = tuple(f"tf_{name}" for name in B)
KERAS_B = tuple(f"EfficientNetB{number}" for number in range(8))
LITE = tuple(f"efficientnet_lite{number}" for number in range(5))
TF_LITE = tuple(f"tf_{name}" for name in LITE)
V1 = ("mobilenetv1_100", "mobilenetv1_125")
V2 = ("mobilenetv2_035", "mobilenetv2_050", "mobilenetv2_100", "mobilenetv2_140")

FORMS = (
    Form("LeNet-5, 1998", ("lenet5",), absent="^lenet"),
    Form("LeNet-5 of courses", ("lenet5_relu",), absent="^lenet"),
    Form("AlexNet, 2012: two groups, LRN", ("alexnet",), absent="alexnet_"),
    Form("AlexNet, 2014: one tower", ("alexnet_owt",), ("alexnet",), absent="alexnet"),
    Form("VGG", VGG, VGG, VGG, ("VGG16", "VGG19")),
    Form("VGG with batch normalisation", VGG_BN, VGG_BN, VGG_BN),
    Form("Network in Network, ImageNet", ("nin",), absent="^nin"),
    Form("Network in Network, CIFAR-10", ("nin_cifar",), absent="^nin"),
    Form("GoogLeNet, paper: LRN, 5x5", ("googlenet",), absent="googlenet_|inception_v1"),
    Form("GoogLeNet, batch normalisation", ("googlenet_bn",), ("googlenet",), absent="googlenet"),
    Form("ResNet, basic blocks", BASIC, BASIC, BASIC),
    Form("ResNet, stride in the 3x3", DEEP, DEEP, DEEP),
    Form("ResNet, stride in the 1x1 (paper)", ("resnet50_v1",), (), (), KERAS_DEEP, "^resnet.*v1"),
    Form("ResNet for CIFAR-10", CIFAR, absent=f"^({'|'.join(CIFAR)})$"),
    Form("plain twins of ResNet", PLAIN, absent="^plain"),
    Form("MobileNet v1", ("mobilenet_v1",), (), V1, ("MobileNet",), absent="mobilenet_?v1"),
    Form("MobileNet v2", ("mobilenet_v2",), ("mobilenet_v2",), V2, ("MobileNetV2",)),
    Form("EfficientNet, symmetric padding", B, B, B),
    Form("EfficientNet, as the authors", B, (), TF_B, KERAS_B, absent="tf_efficientnet"),
    Form("EfficientNet-Lite", LITE, (), TF_LITE, absent="efficientnet_lite"),
)
