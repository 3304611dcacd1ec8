"""Fine-tuning: a network with weights that were learnt elsewhere, taught new classes.

    1. the vectors that its last layer takes, once for every image (`vectors`)
    2. a logistic regression on them, which becomes the last layer: seconds
    3. all layers, from there on, the nearer to the input the slower (`fitting`)

What is better on the part to validate on is kept. Where the data has none, a tenth of the images
to train on is set aside for it.
"""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from convforge.errors import DataError, PackageError
from convforge.images.holdout import with_val
from convforge.training.pixels import stored_to_train
from convforge.training.vectors import Trunk, last_layer, vectors_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from convforge.images.augment import Crop
    from convforge.images.dataset import Images
    from convforge.images.decoding import Decoded
    from convforge.images.preprocess import Preprocess
    from convforge.images.threads import Progress
    from convforge.networks.contract import ConvNet

SET_ASIDE = 0.1  # of each class
STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0, 10.0)  # C, the inverse of the penalty on squared weights
STEPS = 200  # of L-BFGS, at most


@dataclass(frozen=True)
class Head:
    """A linear layer [K, F] and bias [K], the strength C it was fitted with, how it validates."""

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    strength: float
    top1: float


def set_aside(images: Images, *, seed: int) -> Images:
    """The images with a part to validate on: a tenth of each class, by a hash of seed and name.

    Their record has its names.
    """
    if "val" in images.splits:
        return images
    whole = images.splits["train"]
    chosen: list[str] = []
    for label in np.unique(whole.labels):
        rows = np.flatnonzero(whole.labels == label).tolist()
        rows.sort(key=lambda row: _rank(whole.names[row], seed))
        chosen += [whole.names[row] for row in rows[: round(SET_ASIDE * len(rows))]]
    return with_val(images, frozenset(chosen))


def fit_head(
    net: ConvNet,
    decoded: Mapping[str, Decoded],
    *,
    preprocess: Preprocess,
    crop: Crop,
    progress: Progress | None = None,
) -> Head | None:
    """The best linear layer on a frozen network, put into it; None where it does not end in one.

    Of the STRENGTHS, the one with the highest likelihood on "val", else on "train". `crop` is
    what "train" was decoded for. Raises DataError where "train" has one class only that can be
    used, PackageError without scikit-learn.
    """
    found = last_layer(net)
    if found is None:
        return None
    part = decoded["train"].part
    if len(np.unique(part.labels)) < 2:
        raise DataError(
            f"fine-tuning: the {len(part)} images to train on that can be used are of one class, "
            f"among them {part.names[0]}; repair those of other classes, or add some"
        )
    geometries = {"train": stored_to_train(preprocess, crop=crop), "val": preprocess}
    parts = [name for name in geometries if name in decoded]
    trunk = Trunk(net, count=sum(len(decoded[name].part) for name in parts))
    vectors = {
        name: vectors_of(
            trunk,
            decoded[name],
            preprocess=preprocess,
            geometry=geometries[name],
            progress=progress,
        )
        for name in parts
    }
    held = "val" if "val" in decoded else "train"
    head = logistic_regression(
        vectors["train"],
        decoded["train"].part.labels,
        vectors[held],
        decoded[held].part.labels,
        classes=net.num_classes,
    )
    with torch.no_grad():
        found[1].weight.copy_(torch.from_numpy(head.weight))
        found[1].bias.copy_(torch.from_numpy(head.bias))
    return head


def logistic_regression(
    x: NDArray[np.float32],
    labels: NDArray[np.int64],
    x_val: NDArray[np.float32],
    labels_val: NDArray[np.int64],
    *,
    classes: int,
) -> Head:
    """Fit on vectors [N, F] with each of the STRENGTHS, and keep what suits [M, F] best.

    A class without an image to train on has a bias of -inf's stand-in, -1e4: it is never named.
    """
    try:
        from sklearn.exceptions import ConvergenceWarning  # noqa: PLC0415  (an optional package)
        from sklearn.linear_model import LogisticRegression  # noqa: PLC0415  (an optional package)
    except ModuleNotFoundError:
        raise PackageError(
            "fine-tuning needs the package scikit-learn, which is not installed; install it with "
            '`pip install "convforge[train]"`'
        ) from None
    model = LogisticRegression(max_iter=STEPS, warm_start=True)
    best, lowest = None, np.inf
    for strength in STRENGTHS:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # STEPS are enough
            model.set_params(C=strength).fit(x, labels)
        head = _as_layer(model.coef_, model.intercept_, model.classes_, classes=classes)
        logits = x_val @ head[0].T + head[1]
        loss = _cross_entropy(logits, labels_val)
        if loss < lowest:
            top1 = float((logits.argmax(1) == labels_val).mean())
            best, lowest = Head(*head, strength, top1), loss
    assert best is not None, "a loss is finite"
    return best


def _as_layer(
    weight: NDArray[np.float64],
    bias: NDArray[np.float64],
    present: NDArray[np.int64],
    *,
    classes: int,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A layer [K, F] with all classes; of two classes scikit-learn gives the difference alone."""
    if len(present) == 2:
        weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    full = np.zeros((classes, weight.shape[1]), np.float32)
    offsets = np.full(classes, -1e4, np.float32)
    full[present], offsets[present] = weight, bias
    return full, offsets


def _cross_entropy(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    shifted = logits - logits.max(1, keepdims=True)
    logs = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    return float(-logs[np.arange(len(labels)), labels].mean())


def _rank(name: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}/{name}".encode()).digest()
