"""The loop: stochastic gradient descent on images that are in memory.

an epoch = shuffle → for every batch: augment, normalise, forward, loss, backward, update
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional as F  # noqa: N812 - torch's own convention

from convforge.errors import RecipeError
from convforge.images.warp import flip, shift
from convforge.training.optimizer import build_optimizer, set_rate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from torch import Tensor

    from convforge.images.preprocess import Preprocess
    from convforge.images.threads import Progress
    from convforge.networks.contract import ConvNet
    from convforge.training.recipe import Recipe


@dataclass(frozen=True)
class Fitted:
    """The last epoch: mean loss and share of right answers, over `count` images.

    Of augmented images, while the network still changed: signs of progress, no measure of quality.
    """

    count: int
    loss: float
    accuracy: float


def fit(
    net: ConvNet,
    pixels: NDArray[np.uint8],
    labels: NDArray[np.int64],
    *,
    preprocess: Preprocess,
    recipe: Recipe,
    progress: Progress | None = None,
) -> Fitted:
    """Train `net` in place on resized images uint8 [N, H, W, C] with labels int64 [N].

    Dropout draws from torch's generator, everything else from the recipe's seed. `progress` is
    called after every step. Raises RecipeError where the loss is not finite.
    """
    optimizer = build_optimizer(net, recipe)
    generator = np.random.default_rng(recipe.seed)
    steps = recipe.epochs * _steps_an_epoch(len(pixels), recipe)
    step = 0
    net.train()
    for epoch in range(1, recipe.epochs + 1):
        fitted = Fitted(count=0, loss=0.0, accuracy=0.0)
        for rows in _batches(len(pixels), recipe=recipe, generator=generator):
            x = preprocess.normalize(_augment(pixels[rows], recipe=recipe, generator=generator))
            set_rate(optimizer, recipe.rate(step, steps=steps))
            loss, logits = _loss(net, x, labels[rows], smoothing=recipe.label_smoothing)
            step += 1
            _check_finite(loss, step=step, steps=steps, recipe=recipe)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it without types
            optimizer.step()
            fitted = _add(fitted, loss, right=logits.argmax(1).numpy() == labels[rows])
            if progress is not None:
                figures = f"loss {fitted.loss:.3f}, accuracy {fitted.accuracy:.1%}"
                progress(step, steps, f"epoch {epoch}/{recipe.epochs}, {figures}")
    return fitted


def _steps_an_epoch(count: int, recipe: Recipe) -> int:
    return max(1, count // recipe.batch_size)


def _batches(
    count: int, *, recipe: Recipe, generator: np.random.Generator
) -> Iterator[NDArray[np.int64]]:
    """Rows of each batch of an epoch, all of one size, so that all weigh the same.

    Every image comes at most once; `count` mod batch_size of them, others in each epoch, do not.
    """
    order = generator.permutation(count)
    for step in range(_steps_an_epoch(count, recipe)):
        yield order[step * recipe.batch_size : (step + 1) * recipe.batch_size]


def _augment(
    batch: NDArray[np.uint8], *, recipe: Recipe, generator: np.random.Generator
) -> NDArray[np.uint8]:
    if recipe.shift:
        batch = shift(batch, pixels=recipe.shift, generator=generator)
    return flip(batch, generator) if recipe.flip else batch


def _loss(
    net: ConvNet, x: NDArray[np.float32], labels: NDArray[np.int64], *, smoothing: float
) -> tuple[Tensor, Tensor]:
    """Weighted sum of the cross-entropies of all outputs, and the logits [N, K] of the first."""
    outputs = net.weighted_logits(torch.from_numpy(x))
    target = torch.from_numpy(labels)
    losses = [
        weight * F.cross_entropy(logits, target, label_smoothing=smoothing)
        for logits, weight in outputs
    ]
    return torch.stack(losses).sum(), outputs[0][0].detach()


def _check_finite(loss: Tensor, *, step: int, steps: int, recipe: Recipe) -> None:
    if math.isfinite(loss.item()):
        return
    raise RecipeError(
        f"training diverged: the loss is {loss.item()} at step {step} of {steps}, with a learning "
        f"rate of up to {recipe.learning_rate:g}; lower learning_rate, for example to "
        f"{recipe.learning_rate / 10:g}"
    )


def _add(fitted: Fitted, loss: Tensor, *, right: NDArray[np.bool_]) -> Fitted:
    """The running means after one more batch."""
    count = fitted.count + len(right)
    return Fitted(
        count=count,
        loss=fitted.loss + (loss.item() - fitted.loss) * len(right) / count,
        accuracy=fitted.accuracy + (float(right.mean()) - fitted.accuracy) * len(right) / count,
    )
