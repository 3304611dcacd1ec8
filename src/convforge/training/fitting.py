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
from convforge.training.log import END
from convforge.training.pace import Pace

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from numpy.typing import NDArray

    from convforge.images.stored import Pixels
    from convforge.images.threads import Progress
    from convforge.networks.contract import ConvNet
    from convforge.training.journal import Journal
    from convforge.training.limit import Limit
    from convforge.training.measuring import Validated
    from convforge.training.recipe import Recipe

_AHEAD = 8  # batches that are prepared while a GPU learns from another
_THREADS = 4  # that prepare them, each with the help of those that resize


def fit(
    learner: Learner,
    pixels: Pixels,
    labels: NDArray[np.int64],
    *,
    validate: Callable[[ConvNet], Validated] | None = None,
    journal: Journal | None = None,
    limit: Limit | None = None,
    progress: Progress | None = None,
) -> Course:
    """Train on stored images uint8 [h, w, C] with labels int64 [N]; the learner's net is changed.

    `validate` says how the network does after an epoch; the one with the best accuracy, the latest
    of equals, is what is left in the end. `journal` keeps the run, and has where it goes on.
    `limit` may end the run before the recipe does. `progress` is called after every step.

    The same images, labels, learner and changes by a limit give the same weights to the bit,
    whether the run was interrupted or not. Raises RecipeError where the loss diverges, Interrupted
    where a signal stopped the run.
    """
    an_epoch = steps_an_epoch(len(labels), learner.recipe)
    course = (journal and journal.restore(learner)) or Course()
    pace = Pace.of(total_steps(len(labels), learner.recipe), course.changes)
    if limit is not None:
        limit.begin(course.seconds)
    learner.net.train()
    batches = _ready(pixels, labels, learner=learner, start=course.step)
    while course.step < pace.end:
        epoch, batch = next(batches)
        if course.step == epoch * an_epoch:
            course.seen = Fitted()
        stop, end = _learn(batch, course, learner=learner, pace=pace, journal=journal, limit=limit)
        ended = course.step in {(epoch + 1) * an_epoch, pace.end}
        if ended:
            _end_epoch(course, learner=learner, pace=pace, validate=validate)
        pace = course.change(pace, end=end)
        if journal is not None:
            journal.after_step(learner, course, stopping=stop, epoch_ended=ended)
        if limit is not None and ended:
            limit.after_epoch()
        if progress is not None:
            figures = f"loss {course.seen.loss:.3f}, accuracy {course.seen.accuracy:.1%}"
            epochs = -(-pace.end // an_epoch)
            progress(course.step, pace.end, f"epoch {epoch + 1}/{epochs}, {figures}")
    batches.close()
    most_frequent = float(np.bincount(labels).max() / len(labels))
    course.warning = warning(
        course.seen, chance=learner.chance_loss, most_frequent=most_frequent, steps=pace.end
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
) -> Generator[tuple[int, Ready]]:
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
    batch: Ready,
    course: Course,
    *,
    learner: Learner,
    pace: Pace,
    journal: Journal | None,
    limit: Limit | None,
) -> tuple[bool, int]:
    """One step, and what the whole team saw in it.

    Gives whether any of the team is asked to stop, and the step to end with, as the first one says.
    """
    own = learner.learn(batch, step=course.step, pace=pace)
    stop = 0.0 if journal is None else float(journal.stop.signal)
    end = pace.end if limit is None else limit.after_step(course.step + 1, pace)
    later = end - pace.end if learner.team.rank == 0 else 0
    of_all = learner.team.sum(np.array([*own, stop, later], np.float64)).tolist()
    loss, right, stops, later = of_all
    course.add(count=batch.whole, loss=loss, right=int(right))
    rate = learner.recipe.learning_rate
    course.check(loss=loss, steps=pace.end, chance=learner.chance_loss, rate=rate)
    return bool(stops), pace.end + int(later)


def _end_epoch(
    course: Course,
    *,
    learner: Learner,
    pace: Pace,
    validate: Callable[[ConvNet], Validated] | None,
) -> None:
    """Validate, keep the best, and write the epoch's row into the history."""
    row = {
        "epoch": len(course.history) + 1,
        "step": course.step,
        "seconds": round(course.seconds, 3),
        "learning_rate": learner.recipe.rate(pace.done(course.step - 0.5)),
        "loss": course.seen.loss,
        "accuracy": course.seen.accuracy,
        **({END: pace.end} if course.changes else {}),
    }
    if validate is not None:
        learner.team.share_buffers(learner.net)
        with learner.averaged() as net:
            found = validate(net)
        learner.net.train()
        row["val_top1"] = top1 = found.top1
        if found.loss is not None:
            row["val_loss"] = found.loss
        if not course.best or top1 >= course.best["top1"]:
            course.best = {"epoch": row["epoch"], "top1": top1}
            learner.keep_best()
    course.history.append(row)
