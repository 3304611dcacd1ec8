"""Every study by name: the claim, who made it, and what the paper shows for it.

Reading the table imports no torch; running a study does.
"""

from __future__ import annotations

import difflib
import importlib
import os
import time
from typing import TYPE_CHECKING

from convforge.errors import InputError
from convforge.studies.study import Report, Study
from convforge.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from convforge.studies.study import Result, Task

STUDIES = (
    Study(
        name="depth",
        title="Plain against residual",
        claim="More layers make a plain network worse, on the images that it learns from too; with "
        "shortcuts they make it better.",
        source="He, Zhang, Ren and Sun 2016, Deep residual learning for image recognition, section "
        "4.2",
        figure="Figure 6, CIFAR-10: the plain network of 56 layers has a higher training and test "
        "error than that of 20. Table 6, test error: ResNet-20 8.75 %, ResNet-56 6.97 %.",
        images="digits",
    ),
    Study(
        name="lrn",
        title="Local response normalisation",
        claim="Local response normalisation lowers the error of an AlexNet-style network.",
        source="Krizhevsky, Sutskever and Hinton 2012, ImageNet classification with deep "
        "convolutional neural networks, section 3.3; against it Simonyan and Zisserman 2015, Very "
        "deep convolutional networks for large-scale image recognition, section 2.1",
        figure="Krizhevsky et al.: 1.4 points of top-1 error on ImageNet; on CIFAR-10 a network of "
        "four layers 13 % without, 11 % with. Simonyan and Zisserman: no improvement, but more "
        "memory and time.",
        images="digits",
    ),
    Study(
        name="bottleneck",
        title="1x1 before 5x5",
        claim="A 1x1 convolution to few maps before a 5x5 one saves nearly all of its cost.",
        source="Szegedy et al. 2015, Going deeper with convolutions, section 4 and table 1",
        figure="Inception 3a, 28x28x192 to 32 maps: 120 M multiply-adds alone, 12.4 M behind 16 "
        "maps.",
    ),
    Study(
        name="separable",
        title="Depthwise separable convolution",
        claim="A depthwise and a pointwise convolution cost 1/N + 1/K² of a full one.",
        source="Howard et al. 2017, MobileNets: Efficient convolutional neural networks for mobile "
        "vision applications, section 3.1",
        figure="At K = 3 eight to nine times less computation; of time the paper says nothing.",
    ),
    Study(
        name="residual",
        title="Expansion and shortcut of MobileNet v2",
        claim="Shortcuts between thin layers, wide layers inside a block and no activation on the "
        "way out all lower the error.",
        source="Sandler et al. 2018, MobileNetV2: Inverted residuals and linear bottlenecks, "
        "section 6.4",
        figure="Figure 6: with a shortcut between bottlenecks accuracy is higher than without one; "
        "without activation on the way out it is higher than with ReLU6. Section 3.3: expansions "
        "from 5 to 10 do nearly alike, small networks better with smaller ones.",
        images="digits",
    ),
    Study(
        name="activation",
        title="tanh, sigmoid, ReLU",
        claim="With ReLU a network learns several times faster than with tanh; with the sigmoid it "
        "learns slowest.",
        source="Krizhevsky, Sutskever and Hinton 2012, ImageNet classification with deep "
        "convolutional neural networks, section 3.1; LeCun, Bottou, Orr and Müller 1998, Efficient "
        "BackProp, section 4.4",
        figure="Figure 1, CIFAR-10: four layers with ReLU reach a training error of 25 % six times "
        "faster than with tanh.",
        images="digits",
    ),
    Study(
        name="padding",
        title="Evidence at the border",
        claim="Without padding, what lies at the border of an image counts less.",
        source="Goodfellow, Bengio and Courville 2016, Deep learning, section 9.5; LeCun, Bottou, "
        "Bengio and Haffner 1998, Gradient-based learning applied to document recognition, section "
        "II.B",
        figure="An argument, no measurement; LeNet-5 has digits of 20x20 pixels on images of 32x32 "
        "for this reason.",
        images="digits",
    ),
    Study(
        name="scaling",
        title="Depth, width, resolution, or all",
        claim="At equal cost, depth, width and resolution grown together by a rule beat any one of "
        "them grown alone.",
        source="Tan and Le 2019, EfficientNet: Rethinking model scaling for convolutional neural "
        "networks, figures 3 and 8, table 7",
        figure="Table 7, ImageNet top-1, B0 77.3 % at 0.4 G; at about 1.8 G: depth alone 79.0 %, "
        "width alone 78.9 %, resolution alone 79.1 %, all together 81.1 %.",
        images="digits",
    ),
)
CATALOG: dict[str, Study] = {study.name: study for study in STUDIES}


def find(name: str) -> Study:
    """The study of a name; another raises InputError with the nearest ones."""
    if name in CATALOG:
        return CATALOG[name]
    near = difflib.get_close_matches(name, CATALOG, n=2, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    raise InputError(f"no study is named {name!r}; {hint}there are {', '.join(CATALOG)}")


def run(name: str, task: Task) -> Report:
    """Run a study on this machine.

    Raises InputError for an unknown one, for a number below 1, and for images given to one that
    trains nothing; what opening images, training and compiling raise; PackageError where a package
    is missing.
    """
    study = find(name)
    _check(study, task)
    from convforge.benchmark.measurement import machine  # noqa: PLC0415  (slow)
    from convforge.training.selection import find_device  # noqa: PLC0415  (imports torch)

    device = find_device(task.device)
    module: Any = importlib.import_module(f"convforge.studies.{name}")
    conduct: Callable[[Study, Task], Result] = module.run
    started = time.perf_counter()
    result = conduct(study, task)
    circumstances: dict[str, str | int | float] = {
        "machine": machine(),
        "device": device,
        "threads of torch": _torch_threads(),
        "load of the machine": round(os.getloadavg()[0], 1),
        "seconds": round(time.perf_counter() - started, 1),
        "convforge": __version__,
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
    }
    return Report(
        study=study, result=result, command=task.command(name), circumstances=circumstances
    )


def _check(study: Study, task: Task) -> None:
    numbers = {"seeds": task.seeds, "epochs": task.epochs, "count of images": task.count}
    for what, number in numbers.items():
        if number is not None and number < 1:
            raise InputError(f"study {study.name}: {what} must be at least 1, got {number}")
    asked = [what for what in ("images", "count", "epochs") if getattr(task, what) is not None]
    if study.images is None and asked:
        raise InputError(
            f"study {study.name}: it measures time and trains nothing; leave out {asked[0]}"
        )


def _torch_threads() -> int:
    import torch  # noqa: PLC0415  (slow)

    return torch.get_num_threads()
