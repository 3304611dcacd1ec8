"""The loop: steps, epochs, what is watched on the way.

an epoch = order of the images → for every batch: one step of the learner → measure on "val"
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from convforge.training.course import Course, Fitted, warning
from convforge.training.draws import order
from convforge.training.learner import Batch, Learner

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from convforge.images.threads import Progress
    from convforge.training.recipe import Recipe

    Stored = Sequence[NDArray[np.uint8]] | NDArray[np.uint8]


def fit(
    learner: Learner,
    pixels: Stored,
    labels: NDArray[np.int64],
    *,
    progress: Progress | None = None,
) -> Course:
    """Train on stored images uint8 [h, w, C] with labels int64 [N]; the learner's net is changed.

    `progress` is called after every step. The same images, labels and learner give the same
    weights to the bit. Raises RecipeError where the loss diverges.
    """
    recipe = learner.recipe
    steps = total_steps(len(labels), recipe)
    most_frequent = float(np.bincount(labels).max() / len(labels))
    course = Course()
    learner.net.train()
    for epoch, batch in _batches(pixels, labels, learner=learner, start=course.step):
        if course.step == epoch * steps_an_epoch(len(labels), recipe):
            course.seen = Fitted()
        _learn(batch, course, learner=learner, steps=steps)
        if progress is not None:
            figures = f"loss {course.seen.loss:.3f}, accuracy {course.seen.accuracy:.1%}"
            progress(course.step, steps, f"epoch {epoch + 1}/{recipe.epochs}, {figures}")
    course.warning = warning(course.seen, chance=learner.chance_loss, most_frequent=most_frequent)
    learner.finish()
    return course


def steps_an_epoch(count: int, recipe: Recipe) -> int:
    """Full batches of `count` images; one smaller batch where there is no full one."""
    return max(1, count // recipe.batch_size)


def total_steps(count: int, recipe: Recipe) -> int:
    """Steps of a whole run."""
    return recipe.epochs * steps_an_epoch(count, recipe)


def _batches(
    pixels: Stored, labels: NDArray[np.int64], *, learner: Learner, start: int
) -> Iterator[tuple[int, Batch]]:
    """(epoch, this process's part of a batch) from step `start` on; all batches have one size.

    Every image comes at most once an epoch; N mod batch_size of them, others in each, do not.
    """
    recipe = learner.recipe
    an_epoch, size = steps_an_epoch(len(labels), recipe), recipe.batch_size
    for epoch in range(start // an_epoch, recipe.epochs):
        rows = order(len(labels), seed=recipe.seed, epoch=epoch)
        for index in range(max(0, start - epoch * an_epoch), an_epoch):
            whole = rows[index * size : (index + 1) * size]
            own = learner.team.share(whole)
            stored = pixels[own] if isinstance(pixels, np.ndarray) else [pixels[i] for i in own]
            yield epoch, Batch(stored, labels[own], whole=len(whole))


def _learn(batch: Batch, course: Course, *, learner: Learner, steps: int) -> None:
    """One step, and what the whole team saw in it."""
    recipe = learner.recipe
    own = learner.step(batch, step=course.step, steps=steps)
    loss, right = learner.team.sum(np.array(own, np.float64)).tolist()
    course.add(count=batch.whole, loss=loss, right=int(right))
    course.check(loss=loss, steps=steps, chance=learner.chance_loss, rate=recipe.learning_rate)
