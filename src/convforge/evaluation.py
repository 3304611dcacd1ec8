"""How good a classifier is: metrics with an interval, from probabilities, torch or compiled alike.

The interval is Wilson's score interval (Wilson 1927, Probable inference, the law of succession, and
statistical inference, J. Am. Stat. Assoc. 22). Precision, recall and F1 a class are those of
scikit-learn's `precision_recall_fscore_support`, except that 0/0 is None here, not 0.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from convforge.calibration import calibrate
from convforge.errors import DataError, InputError
from convforge.images.corruptions import corrupted
from convforge.images.dataset import Images, Split
from convforge.images.decoding import BATCH, read_batches
from convforge.images.source import open_for_evaluation

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from convforge.card import Card
    from convforge.images.corruptions import Corruption
    from convforge.images.decoding import Bad
    from convforge.images.threads import Progress

Z_95 = 1.959963984540054  # the normal distribution's 97.5 % point: two-sided 95 %


class Model(Protocol):
    """What can be evaluated, as `Classifier` and `Runtime` can."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of the probabilities."""

    @property
    def card(self) -> Card:
        """What it was trained on, among others."""

    def probabilities(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """float32 [N, K] of RGB images uint8 [H, W, 3]."""


@dataclass(frozen=True, kw_only=True)
class ClassScore:
    """How one class did.

    `support` images are of the class, `predicted` were taken for it. `precision` is None where
    none was taken for it, `recall` where none is of it, `f1` where neither is.
    """

    label: str
    support: int
    predicted: int
    precision: float | None
    recall: float | None
    f1: float | None


@dataclass(frozen=True, kw_only=True, eq=False)
class Evaluation:
    """What a model answered on one split, counted.

    `count` images; `top1` the share of right answers, `interval` its 95 % Wilson interval;
    `top5` the share with the right class among the five most probable, None for five classes or
    fewer (it would be 1). `confusion` int64 [K, K] counts images, rows are the true class,
    columns the answer. `bad` images could not be used: they have no answer, and so no cell, and
    count as wrong in everything else. The macro averages run over the classes that have images in
    the split, an undefined precision counting as 0 there. `ece` is the expected calibration error
    of the answers (`calibration`), None where there are none.
    """

    uri: str
    split: str
    classes: tuple[str, ...]
    count: int
    top1: float
    top5: float | None
    interval: tuple[float, float]
    confusion: NDArray[np.int64]
    bad: tuple[Bad, ...]
    scores: tuple[ClassScore, ...]
    macro_precision: float
    macro_recall: float
    macro_f1: float
    ece: float | None

    def summary(self) -> dict[str, Any]:
        """The figures without the tables, as plain JSON values: what a card keeps."""
        return {
            "count": self.count,
            "top1": self.top1,
            "top5": self.top5,
            "interval": list(self.interval),
            "macro_precision": self.macro_precision,
            "macro_recall": self.macro_recall,
            "macro_f1": self.macro_f1,
            "ece": self.ece,
            "unusable": len(self.bad),
        }

    def to_json(self) -> dict[str, Any]:
        """Everything, as plain JSON values."""
        return {
            "uri": self.uri,
            "split": self.split,
            "classes": list(self.classes),
            **self.summary(),
            "confusion": self.confusion.tolist(),
            "bad": [asdict(image) for image in self.bad],
            "scores": [asdict(score) for score in self.scores],
        }


@dataclass(frozen=True, kw_only=True, eq=False)
class Answered:
    """What a model answered on the images of `part` that can be used, float32 [N, K], and counted.

    `probabilities` are in the part's order.
    """

    part: Split
    probabilities: NDArray[np.float32]
    evaluation: Evaluation


def evaluate(
    model: Model,
    data: str | Path | Images | Split,
    *,
    split: str | None = None,
    corruption: Corruption | None = None,
    answered: Callable[[Answered], None] | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """What `model` answers on one part of `data`, counted.

    `data` is a URI as `images.open` takes, images or a part of them; classes are matched by name,
    but for a part, whose labels must index the model's own. `split` names the part; by default it
    is "test" where there is one, else "val". A URI that the model was trained on is split as it
    was for the training, so that held-out images stay held out. `corruption` is done to every image
    before the model sees it. `answered` is given the answers themselves in the end, as
    `report.evaluation` takes them. Holds float32 [N, K] in memory.

    Raises DataError where there is no such data or part, it has a class that the model does not
    know; InputError where the model gives a value that is not finite. An image that cannot be used
    counts as a wrong answer and is listed.
    """
    uri, part = _choose(model, data, split=split, progress=progress)
    _check_labels(part, classes=model.classes)
    preprocess = model.card.preprocess
    if corruption is not None:
        part = corrupted(part, corruption, preprocess=preprocess)
    probabilities: list[NDArray[np.float32]] = []
    good: list[int] = []
    bad: list[Bad] = []
    for images, rows, unusable in read_batches(part, BATCH, preprocess=preprocess):
        probabilities += [model.probabilities(images)] if images else []
        good += rows
        bad += unusable
        if progress is not None:
            progress(len(good) + len(bad), len(part), f"evaluating on {part.name}")
    usable = part.select(good)
    found = measure(probabilities, usable, bad=bad, classes=model.classes, uri=uri)
    if answered is not None:
        table = _joined(probabilities, size=len(model.classes))
        answered(Answered(part=usable, probabilities=table, evaluation=found))
    return found


def measure(
    probabilities: Sequence[NDArray[np.float32]],
    part: Split,
    *,
    classes: tuple[str, ...],
    uri: str,
    bad: Sequence[Bad] = (),
) -> Evaluation:
    """Probabilities of a part's images, float32 [n, K] a batch, held against its labels.

    `bad` images, which `part` is without, count as wrong answers. Of equal probabilities the lower
    index is the answer, as in `top_predictions`. Raises DataError where there are no images or a
    label is not an index into `classes`, InputError where a probability is not finite.
    """
    if len(part) or not bad:
        _check_labels(part, classes=classes)
    size = len(classes)
    table = _joined(probabilities, size=size)
    _check_finite(table, part)
    order = np.argsort(-table, axis=1, kind="stable")[:, :5]
    in_five = (order == part.labels[:, None]).any(axis=1)
    cells = np.bincount(part.labels * size + order[:, 0], minlength=size * size)
    confusion = cells.reshape(size, size)
    right, count = int(np.trace(confusion)), len(part) + len(bad)
    unusable = np.bincount([image.label for image in bad], minlength=size)
    scores = _class_scores(confusion, unusable, classes)
    present = [score for score in scores if score.support]
    return Evaluation(
        uri=uri,
        split=part.name,
        classes=classes,
        count=count,
        top1=right / count,
        top5=int(in_five.sum()) / count if size > 5 else None,
        interval=wilson_interval(right, count),
        confusion=confusion,
        bad=tuple(bad),
        scores=scores,
        macro_precision=_mean([score.precision for score in present]),
        macro_recall=_mean([score.recall for score in present]),
        macro_f1=_mean([score.f1 for score in present]),
        ece=_calibration_error(table, part),
    )


def wilson_interval(successes: int, trials: int, *, z: float = Z_95) -> tuple[float, float]:
    """Score interval of a share: (p̂ + z²/2n ± z √(p̂(1-p̂)/n + z²/4n²)) / (1 + z²/n).

    `z` is in standard deviations. No trials give (0, 1): nothing is known.
    Raises InputError where `successes` is not from 0 to `trials`.
    """
    if not 0 <= successes <= trials:
        raise InputError(f"interval: expected 0 to {trials} successes, got {successes}")
    if trials == 0:
        return 0.0, 1.0
    share, weight = successes / trials, z * z / trials
    centre = share + weight / 2
    half = math.sqrt(weight * share * (1 - share) + weight * weight / 4)
    return max(0.0, (centre - half) / (1 + weight)), min(1.0, (centre + half) / (1 + weight))


def _joined(batches: Sequence[NDArray[np.float32]], *, size: int) -> NDArray[np.float32]:
    return np.concatenate([np.empty((0, size), np.float32), *batches])


def _choose(
    model: Model,
    data: str | Path | Images | Split,
    *,
    split: str | None,
    progress: Progress | None,
) -> tuple[str, Split]:
    if isinstance(data, Split):
        if split not in {None, data.name}:
            raise DataError(
                f"evaluate: part {split!r} was asked for, of what is the part {data.name!r} "
                "already; pass the images that it is a part of"
            )
        return "", data
    if isinstance(data, Images):
        return data.uri, data.part(split, classes=model.classes)
    part = open_for_evaluation(
        data, classes=model.classes, trained_on=model.card.data, part=split, progress=progress
    )
    return str(data), part


def _check_labels(part: Split, *, classes: tuple[str, ...]) -> None:
    if len(part) == 0:
        raise DataError(f"evaluate: {part.name} has no images; choose a part that has some")
    if not 0 <= part.labels.min() <= part.labels.max() < len(classes):
        raise DataError(
            f"evaluate: labels of {part.name} go from {part.labels.min()} to {part.labels.max()}, "
            f"the model has {len(classes)} classes; pass the images, whose classes have names"
        )


def _check_finite(table: NDArray[np.float32], part: Split) -> None:
    finite = np.isfinite(table).all(axis=1)
    if not finite.all():
        raise InputError(
            f"evaluate: the model's probabilities for {part.names[int(finite.argmin())]} are not "
            "finite; its weights are damaged or its training diverged: train it again"
        )


def _calibration_error(table: NDArray[np.float32], part: Split) -> float | None:
    if not len(part):
        return None
    logits = np.log(np.maximum(table, np.finfo(np.float32).tiny))
    return calibrate(logits, part.labels).ece


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _class_scores(
    confusion: NDArray[np.int64], unusable: NDArray[np.int64], classes: Sequence[str]
) -> tuple[ClassScore, ...]:
    right = np.diagonal(confusion).tolist()
    support = (confusion.sum(axis=1) + unusable).tolist()
    predicted = confusion.sum(axis=0).tolist()
    return tuple(
        ClassScore(
            label=label,
            support=support[k],
            predicted=predicted[k],
            precision=_ratio(right[k], predicted[k]),
            recall=_ratio(right[k], support[k]),
            f1=_ratio(2 * right[k], support[k] + predicted[k]),
        )
        for k, label in enumerate(classes)
    )


def _mean(values: Sequence[float | None]) -> float:
    return sum(value or 0.0 for value in values) / len(values)
