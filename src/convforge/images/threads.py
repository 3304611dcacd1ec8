"""A map over a few threads: Pillow and hashlib let go of Python's lock while they work."""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar, cast

from convforge.processors import processors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    Progress = Callable[[int, int, str], None]  # (done, total, what is being done)

T = TypeVar("T")
R = TypeVar("R")

MAX_THREADS = 16  # bounds memory: each holds one decoded image
_AHEAD = 3  # tasks a thread that are under way or waiting to be taken: bounds memory as well


def map_threads(work: Callable[[T], R], tasks: Sequence[T]) -> Iterator[R]:
    """work(task) of every task, in the order of `tasks`, computed in as many threads as cores.

    Results do not depend on the number of threads, and only a few wait to be taken. An exception of
    `work` is raised at its place in the order and, as when the iterator is closed early, what has
    not started is dropped.
    """
    workers = min(MAX_THREADS, processors(), max(1, len(tasks)))
    pool = ThreadPoolExecutor(workers, thread_name_prefix="convforge-images")
    waiting = deque(pool.submit(work, task) for task in tasks[: _AHEAD * workers])
    try:
        for place in range(len(tasks)):
            result = waiting.popleft().result()
            if place + _AHEAD * workers < len(tasks):
                waiting.append(pool.submit(work, tasks[place + _AHEAD * workers]))
            yield result
    finally:
        pool.shutdown(cancel_futures=True)


def one_ahead(items: Iterator[T]) -> Iterator[T]:
    """The same items; the next one is made in a thread of its own while one is worked with."""
    end = object()
    pool = ThreadPoolExecutor(1, thread_name_prefix="convforge-ahead")
    try:
        waiting = pool.submit(next, items, end)
        while (item := waiting.result()) is not end:
            waiting = pool.submit(next, items, end)
            yield cast("T", item)
    finally:
        pool.shutdown(cancel_futures=True)
