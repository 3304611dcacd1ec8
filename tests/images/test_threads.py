from __future__ import annotations

import threading
import time

import pytest

from convforge.images.threads import MAX_THREADS, map_threads, one_ahead


def test_results_come_in_the_order_of_the_tasks():
    def work(task: int) -> int:
        time.sleep((task % 3) * 0.002)
        return task * task

    assert list(map_threads(work, range(40))) == [i * i for i in range(40)]


def test_no_tasks_give_no_results():
    assert list(map_threads(str, [])) == []


def test_an_exception_is_raised_at_its_place_and_drops_what_has_not_started():
    started = []

    def work(task: int) -> int:
        started.append(task)
        time.sleep(0.001)
        if task == 3:
            raise KeyError(task)
        return task

    results = []
    with pytest.raises(KeyError, match="3"):
        results.extend(map_threads(work, range(5000)))
    assert results == [] or results == [0, 1, 2]
    assert len(started) < 5000


def test_no_thread_is_left_behind():
    before = threading.active_count()
    results = map_threads(str, range(100))
    assert next(results) == "0"
    results.close()
    assert threading.active_count() == before


def test_few_results_wait_to_be_taken():
    started = []
    results = map_threads(started.append, range(5000))
    for taken in range(1, 50):
        next(results)
        time.sleep(0.001)
        assert len(started) <= taken + 3 * MAX_THREADS
    results.close()


def test_one_item_is_made_ahead_and_no_more():
    made = []

    def make():
        for item in range(4):
            made.append(item)
            yield item

    taken = []
    for item in one_ahead(make()):
        taken.append(item)
        time.sleep(0.02)
        assert len(made) <= len(taken) + 1
    assert taken == made == [0, 1, 2, 3]


def test_an_exception_of_an_item_that_is_made_ahead_comes_after_those_before():
    def make():
        yield 1
        raise KeyError(2)

    items = one_ahead(make())
    assert next(items) == 1
    with pytest.raises(KeyError):
        next(items)
