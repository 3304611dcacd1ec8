"""The loop: steps, epochs, what is watched and kept on the way.

an epoch = order of the images → for every batch: one step of the learner → validate → log
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from convforge.images.stored import take
from convforge.training.course import Course, Fitted, warning
from convforge.training.draws import order
from convforge.training.learner import Batch, Learner, Ready

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from convforge.images.stored import Pixels
    from convforge.images.threads import Progress
    from convforge.networks.contract import ConvNet
    from convforge.training.journal import Journal
    from convforge.training.recipe import Recipe

_AHEAD = 8  # batches that are prepared while a GPU learns from another
_THREADS = 4  # that prepare them, each with the help of those that resize


def fit(
    learner: Learner,
    pixels: Pixels,
    labels: NDArray[np.int64],
    *,
    validate: Callable[[ConvNet], float] | None = None,
    journal: Journal | None = None,
    progress: Progress | None = None,
) -> Course:
    """Train on stored images uint8 [h, w, C] with labels int64 [N]; the learner's net is changed.

    `validate` gives the accuracy of the network after an epoch; the best one, the latest of equals,
    is what is left in the end. `journal` keeps the run, and has where it goes on. `progress` is
    called after every step.

    The same images, labels and learner give the same weights to the bit, whether the run was
    interrupted or not. Raises RecipeError where the loss diverges, Interrupted where a signal
    stopped the run.
    """
    steps = total_steps(len(labels), learner.recipe)
    course = (journal and journal.restore(learner)) or Course()
    learner.net.train()
    for epoch, batch in _ready(pixels, labels, learner=learner, start=course.step):
        if course.step == epoch * steps_an_epoch(len(labels), learner.recipe):
            course.seen = Fitted()
        stopping = _learn(batch, course, learner=learner, steps=steps, journal=journal)
        ended = course.step == (epoch + 1) * steps_an_epoch(len(labels), learner.recipe)
        if ended:
            _end_epoch(course, learner=learner, steps=steps, validate=validate)
        if journal is not None:
            journal.after_step(learner, course, stopping=stopping, epoch_ended=ended)
        if progress is not None:
            figures = f"loss {course.seen.loss:.3f}, accuracy {course.seen.accuracy:.1%}"
            progress(course.step, steps, f"epoch {epoch + 1}/{learner.recipe.epochs}, {figures}")
    most_frequent = float(np.bincount(labels).max() / len(labels))
    course.warning = warning(
        course.seen, chance=learner.chance_loss, most_frequent=most_frequent, steps=steps
    )
    learner.finish()
    return course


def steps_an_epoch(count: int, recipe: Recipe) -> int:
    """Full batches of `count` images; one smaller batch where there is no full one."""
    return max(1, count // recipe.batch_size)


def total_steps(count: int, recipe: Recipe) -> int:
    """Steps of a whole run."""
    return recipe.epochs * steps_an_epoch(count, recipe)


def _batches(
    pixels: Pixels, labels: NDArray[np.int64], *, learner: Learner, start: int
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
            yield epoch, Batch(take(pixels, own), labels[own], whole=len(whole))


def _ready(
    pixels: Pixels, labels: NDArray[np.int64], *, learner: Learner, start: int
) -> Iterator[tuple[int, Ready]]:
    """(epoch, batch) from step `start` on; beside a GPU the next ones are prepared meanwhile."""

    def prepare(step: int, epoch: int, batch: Batch) -> tuple[int, Ready]:
        return epoch, learner.prepare(batch, step=step)

    numbered = enumerate(_batches(pixels, labels, learner=learner, start=start), start)
    tasks = ((step, *batch) for step, batch in numbered)
    if not learner.machine.is_gpu:
        yield from (prepare(*task) for task in tasks)
        return
    pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="convforge-batches")
    waiting = deque(pool.submit(prepare, *task) for task in islice(tasks, _AHEAD))
    try:
        while waiting:
            ready = waiting.popleft().result()
            waiting.extend(pool.submit(prepare, *task) for task in islice(tasks, 1))
            yield ready
    finally:
        pool.shutdown(cancel_futures=True)


def _learn(
    batch: Ready, course: Course, *, learner: Learner, steps: int, journal: Journal | None
) -> bool:
    """One step, what the whole team saw in it, and whether any of it is asked to stop."""
    stop = 0.0 if journal is None else float(journal.stop.signal)
    own = learner.learn(batch, step=course.step, steps=steps)
    loss, right, stops = learner.team.sum(np.array([*own, stop], np.float64)).tolist()
    course.add(count=batch.whole, loss=loss, right=int(right))
    rate = learner.recipe.learning_rate
    course.check(loss=loss, steps=steps, chance=learner.chance_loss, rate=rate)
    return bool(stops)


def _end_epoch(
    course: Course,
    *,
    learner: Learner,
    steps: int,
    validate: Callable[[ConvNet], float] | None,
) -> None:
    """Validate, keep the best, and write the epoch's row into the history."""
    row = {
        "epoch": len(course.history) + 1,
        "step": course.step,
        "seconds": round(course.seconds, 3),
        "learning_rate": learner.recipe.rate(course.step - 1, steps=steps),
        "loss": course.seen.loss,
        "accuracy": course.seen.accuracy,
    }
    if validate is not None:
        learner.team.share_buffers(learner.net)
        with learner.averaged() as net:
            row["val_top1"] = top1 = validate(net)
        learner.net.train()
        if not course.best or top1 >= course.best["top1"]:
            course.best = {"epoch": row["epoch"], "top1": top1}
            learner.keep_best()
    course.history.append(row)
