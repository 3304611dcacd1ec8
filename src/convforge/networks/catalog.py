"""Every network by name, in one literal table, and `create`, which builds one.

Reading the table imports no torch; building does.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from convforge.errors import NetworkError, PackageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from convforge.networks.contract import ConvNet


@dataclass(frozen=True)
class Entry:
    """One network of the catalogue.

    `module` is the file in `convforge.networks` and holds a function of the network's own name,
    its builder: keyword arguments num_classes, in_channels, input_size where its layers depend on
    it, and the network's own, each of these with a default.
    `parameters` is the published count of trainable parameters of `features` and `head` for the
    default arguments; side heads, which no prediction uses, are not in it. `macs` are the
    multiply-adds of one prediction, as `analysis.summary.describe` counts them.
    """

    module: str
    in_channels: int
    input_size: int
    num_classes: int
    parameters: int
    macs: int
    paper: str


LECUN_1998 = "LeCun et al. 1998, Gradient-based learning applied to document recognition"
KRIZHEVSKY_2012 = "Krizhevsky et al. 2012, ImageNet classification with deep convolutional networks"
KRIZHEVSKY_2014 = "Krizhevsky 2014, One weird trick for parallelizing convolutional neural networks"
LIN_2014 = "Lin et al. 2014, Network in network"
SIMONYAN_2015 = "Simonyan and Zisserman 2015, Very deep convolutional networks"
SZEGEDY_2015 = "Szegedy et al. 2015, Going deeper with convolutions"
HE_2016 = "He et al. 2016, Deep residual learning for image recognition"
HOWARD_2017 = "Howard et al. 2017, MobileNets: Efficient convolutional neural networks"
SANDLER_2018 = "Sandler et al. 2018, MobileNetV2: Inverted residuals and linear bottlenecks"
TAN_2019 = "Tan and Le 2019, EfficientNet: Rethinking model scaling"

# name: (module, in_channels, input_size in pixels, num_classes, parameters, macs, paper)
CATALOG: dict[str, Entry] = {
    "lenet5": Entry("lenet", 1, 32, 10, 60_000, 421_984, LECUN_1998),
    "lenet5_relu": Entry("lenet", 1, 32, 10, 61_706, 416_520, LECUN_1998),
    "alexnet": Entry("alexnet", 3, 227, 1000, 60_965_224, 724_406_816, KRIZHEVSKY_2012),
    "alexnet_owt": Entry("alexnet", 3, 224, 1000, 61_100_840, 714_188_480, KRIZHEVSKY_2014),
    "nin": Entry("nin", 3, 224, 1000, 7_595_176, 1_100_188_800, LIN_2014),
    "nin_cifar": Entry("nin", 3, 32, 10, 966_986, 222_486_528, LIN_2014),
    "vgg11": Entry("vgg", 3, 224, 1000, 132_863_336, 7_609_090_048, SIMONYAN_2015),
    "vgg11_bn": Entry("vgg", 3, 224, 1000, 132_868_840, 7_609_090_048, SIMONYAN_2015),
    "vgg13": Entry("vgg", 3, 224, 1000, 133_047_848, 11_308_466_176, SIMONYAN_2015),
    "vgg13_bn": Entry("vgg", 3, 224, 1000, 133_053_736, 11_308_466_176, SIMONYAN_2015),
    "vgg16": Entry("vgg", 3, 224, 1000, 138_357_544, 15_470_264_320, SIMONYAN_2015),
    "vgg16_bn": Entry("vgg", 3, 224, 1000, 138_365_992, 15_470_264_320, SIMONYAN_2015),
    "vgg19": Entry("vgg", 3, 224, 1000, 143_667_240, 19_632_062_464, SIMONYAN_2015),
    "vgg19_bn": Entry("vgg", 3, 224, 1000, 143_678_248, 19_632_062_464, SIMONYAN_2015),
    "googlenet": Entry("googlenet", 3, 224, 1000, 6_998_552, 1_582_671_872, SZEGEDY_2015),
    "googlenet_bn": Entry("googlenet", 3, 224, 1000, 6_624_904, 1_498_376_192, SZEGEDY_2015),
    "resnet18": Entry("resnet", 3, 224, 1000, 11_689_512, 1_814_073_344, HE_2016),
    "resnet34": Entry("resnet", 3, 224, 1000, 21_797_672, 3_663_761_408, HE_2016),
    "resnet50": Entry("resnet", 3, 224, 1000, 25_557_032, 4_089_184_256, HE_2016),
    "resnet50_v1": Entry("resnet", 3, 224, 1000, 25_557_032, 3_857_973_248, HE_2016),
    "resnet101": Entry("resnet", 3, 224, 1000, 44_549_160, 7_801_405_440, HE_2016),
    "resnet152": Entry("resnet", 3, 224, 1000, 60_192_808, 11_513_626_624, HE_2016),
    "plain18": Entry("resnet", 3, 224, 1000, 11_515_688, 1_794_805_760, HE_2016),
    "plain34": Entry("resnet", 3, 224, 1000, 21_623_848, 3_644_493_824, HE_2016),
    "resnet20": Entry("resnet", 3, 32, 10, 269_722, 40_551_040, HE_2016),
    "resnet32": Entry("resnet", 3, 32, 10, 464_154, 68_862_592, HE_2016),
    "resnet44": Entry("resnet", 3, 32, 10, 658_586, 97_174_144, HE_2016),
    "resnet56": Entry("resnet", 3, 32, 10, 853_018, 125_485_696, HE_2016),
    "resnet110": Entry("resnet", 3, 32, 10, 1_727_962, 252_887_680, HE_2016),
    "plain20": Entry("resnet", 3, 32, 10, 269_722, 40_551_040, HE_2016),
    "plain32": Entry("resnet", 3, 32, 10, 464_154, 68_862_592, HE_2016),
    "plain44": Entry("resnet", 3, 32, 10, 658_586, 97_174_144, HE_2016),
    "plain56": Entry("resnet", 3, 32, 10, 853_018, 125_485_696, HE_2016),
    "mobilenet_v1": Entry("mobilenet_v1", 3, 224, 1000, 4_231_976, 568_740_352, HOWARD_2017),
    "mobilenet_v2": Entry("mobilenet_v2", 3, 224, 1000, 3_504_872, 300_774_272, SANDLER_2018),
    "efficientnet_b0": Entry("efficientnet", 3, 224, 1000, 5_288_548, 385_814_752, TAN_2019),
    "efficientnet_b1": Entry("efficientnet", 3, 240, 1000, 7_794_184, 686_802_832, TAN_2019),
    "efficientnet_b2": Entry("efficientnet", 3, 260, 1000, 9_109_994, 993_561_872, TAN_2019),
    "efficientnet_b3": Entry("efficientnet", 3, 300, 1000, 12_233_232, 1_827_141_392, TAN_2019),
    "efficientnet_b4": Entry("efficientnet", 3, 380, 1000, 19_341_616, 4_393_771_024, TAN_2019),
    "efficientnet_b5": Entry("efficientnet", 3, 456, 1000, 30_389_784, 10_266_384_752, TAN_2019),
    "efficientnet_b6": Entry("efficientnet", 3, 528, 1000, 43_040_704, 19_067_593_536, TAN_2019),
    "efficientnet_b7": Entry("efficientnet", 3, 600, 1000, 66_347_960, 37_745_884_192, TAN_2019),
    "efficientnet_lite0": Entry("efficientnet", 3, 224, 1000, 4_652_008, 385_187_552, TAN_2019),
    "efficientnet_lite1": Entry("efficientnet", 3, 240, 1000, 5_416_680, 600_185_232, TAN_2019),
    "efficientnet_lite2": Entry("efficientnet", 3, 260, 1000, 6_092_072, 859_736_272, TAN_2019),
    "efficientnet_lite3": Entry("efficientnet", 3, 280, 1000, 8_197_096, 1_383_321_872, TAN_2019),
    "efficientnet_lite4": Entry("efficientnet", 3, 300, 1000, 13_006_568, 2_553_034_336, TAN_2019),
}


def names() -> tuple[str, ...]:
    """Names of all networks, in the catalogue's order."""
    return tuple(CATALOG)


def entry(name: str) -> Entry:
    """The entry of a network; an unknown name raises NetworkError with the nearest ones."""
    if name in CATALOG:
        return CATALOG[name]
    near = difflib.get_close_matches(name, CATALOG, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else "`convforge list` shows them all."
    raise NetworkError(f"no network is named {name!r}; {hint}")


def create(
    name: str,
    /,
    *,
    num_classes: int | None = None,
    in_channels: int | None = None,
    input_size: int | None = None,
    weights: str | Path | None = None,
    **arguments: Any,
) -> ConvNet:
    """The network `name`, in training mode; what is None is as in its paper.

    `input_size` is the side of a square input in pixels. `arguments` are the network's own, such as
    a width multiplier. `weights` is a tag of published weights ("imagenet") or the path of a file;
    without it the weights are drawn from torch's generator, as the network's module says.
    `create(net.name, **net.arguments)` builds the same network again.

    Raises NetworkError for an unknown name, an argument that the network does not take or that is
    out of range, and an input size that it cannot process, naming the smallest that it can;
    WeightsError for weights that do not fit; PackageError where torch is not installed.
    """
    found = entry(name)
    builder = _builder(name, found)
    fields = {
        "num_classes": found.num_classes if num_classes is None else num_classes,
        "in_channels": found.in_channels if in_channels is None else in_channels,
        "input_size": found.input_size if input_size is None else input_size,
    }
    _check_counts(name, fields)
    complete = _complete(name, builder, {**fields, **arguments})
    _check_input_size(name, builder, arguments=complete, default_size=found.input_size)
    net = _build(builder, complete)
    net.name = name
    net.arguments = complete
    net.input_shape = (fields["in_channels"], fields["input_size"], fields["input_size"])
    net.num_classes = fields["num_classes"]
    if weights is not None:
        importlib.import_module("convforge.networks.weights").load_weights(net, name, weights)
    return net


def _builder(name: str, found: Entry) -> Callable[..., ConvNet]:
    try:
        module = importlib.import_module(f"convforge.networks.{found.module}")
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise PackageError(
            f"{name}: building a network needs torch, which is not installed; "
            'install it with `pip install "convforge[train]"`'
        ) from None
    return cast("Callable[..., ConvNet]", getattr(module, name))


def _check_counts(name: str, fields: dict[str, int]) -> None:
    for field, value in fields.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise NetworkError(f"{name}: {field} must be a whole number above 0, got {value!r}")


def _complete(
    name: str, builder: Callable[..., ConvNet], arguments: dict[str, Any]
) -> dict[str, Any]:
    # The arguments with the builder's defaults filled in, so that a record of them says it all.
    parameters = inspect.signature(builder).parameters
    defaults = {key: p.default for key, p in parameters.items() if p.default is not p.empty}
    taken = ("num_classes", "in_channels", "input_size", *defaults)
    for given in arguments:
        if given not in taken:
            near = difflib.get_close_matches(given, taken, n=1)
            hint = f" (did you mean {near[0]}?)" if near else ""
            raise NetworkError(
                f"{name} takes no argument {given!r}{hint}; it takes {', '.join(taken)}"
            )
    return {**defaults, **arguments}


def _build(builder: Callable[..., ConvNet], arguments: dict[str, Any]) -> ConvNet:
    # A builder whose layers do not depend on the input's size does not ask for it.
    asked = inspect.signature(builder).parameters
    return builder(**{key: value for key, value in arguments.items() if key in asked})


def _check_input_size(
    name: str, builder: Callable[..., ConvNet], *, arguments: dict[str, Any], default_size: int
) -> None:
    # Every network works at its own default size (held by a test).
    if arguments["input_size"] == default_size:
        return
    contract = importlib.import_module("convforge.networks.contract")
    contract.check_input_size(
        name,
        lambda size: _build(builder, {**arguments, "input_size": size}),
        in_channels=arguments["in_channels"],
        input_size=arguments["input_size"],
    )
