import asyncio
import threading
import time

import pytest

from convforge.errors import RequestError
from convforge.serving.workers import Workers


@pytest.fixture
def make_workers():
    made = []

    def make(count=1, *, queue=1, timeout_s=5.0, prepare=lambda: None):
        made.append(Workers(count, queue=queue, timeout_s=timeout_s, prepare=prepare))
        return made[-1]

    yield make
    for workers in made:
        workers.close()


class Gate:
    """Work that waits until it is let go."""

    def __init__(self):
        self.begun, self.go = threading.Event(), threading.Event()

    def __call__(self):
        self.begun.set()
        assert self.go.wait(5)
        return "done"


async def begun(gate):
    await asyncio.to_thread(gate.begun.wait, 5)


def test_work_gives_what_it_gives_and_raises_what_it_raises(make_workers):
    workers = make_workers(2)

    async def ask():
        assert await workers.run(lambda: 7) == 7
        with pytest.raises(ZeroDivisionError):
            await workers.run(lambda: 1 / 0)
        assert await workers.run(threading.get_ident) != threading.get_ident()

    asyncio.run(ask())


def test_every_thread_is_prepared_and_what_that_raises_is_raised(make_workers):
    threads = []
    make_workers(3, prepare=lambda: threads.append(threading.get_ident()))
    assert len(set(threads)) == 3
    with pytest.raises(MemoryError):
        make_workers(2, prepare=lambda: (_ for _ in ()).throw(MemoryError()))


def test_what_has_no_room_is_refused_at_once(make_workers):
    workers, gate = make_workers(1, queue=1), Gate()

    async def ask():
        first = asyncio.create_task(workers.run(gate))
        await begun(gate)
        second = asyncio.create_task(workers.run(lambda: "second"))
        await asyncio.sleep(0)
        assert (workers.busy, workers.waiting, workers.full) == (1, 1, True)
        with pytest.raises(RequestError, match="1 requests are computed and 1 wait") as caught:
            await workers.run(lambda: "third")
        assert (caught.value.status, caught.value.retry_after) == (503, 1)
        gate.go.set()
        assert [await first, await second] == ["done", "second"]
        assert await workers.run(lambda: "fourth") == "fourth"

    asyncio.run(ask())


def test_without_a_queue_a_free_worker_is_room(make_workers):
    workers = make_workers(1, queue=0)
    for turn in range(200):
        assert asyncio.run(workers.run(lambda turn=turn: turn)) == turn


def test_what_waits_too_long_is_refused_and_leaves_the_queue(make_workers):
    workers, gate = make_workers(1, queue=1, timeout_s=0.05), Gate()
    ran = []

    async def ask():
        first = asyncio.create_task(workers.run(gate))
        await begun(gate)
        with pytest.raises(RequestError, match=r"waited 0\.05 s for its turn") as caught:
            await workers.run(lambda: ran.append(1))
        assert caught.value.status == 503
        assert workers.waiting == 0
        gate.go.set()
        # It took longer than the limit, but it had begun.
        assert await first == "done"

    asyncio.run(ask())
    assert ran == []


def test_work_that_nobody_waits_for_is_not_begun(make_workers):
    workers, gate = make_workers(1, queue=2), Gate()
    ran = []

    async def ask():
        first = asyncio.create_task(workers.run(gate))
        await begun(gate)
        second = asyncio.create_task(workers.run(lambda: ran.append(1)))
        await asyncio.sleep(0)
        second.cancel()
        await asyncio.sleep(0)
        gate.go.set()
        await first
        await workers.run(lambda: None)

    asyncio.run(ask())
    assert ran == []


def test_closing_finishes_what_was_accepted_and_refuses_the_rest(make_workers):
    workers, gate = make_workers(1, queue=2), Gate()

    async def ask():
        jobs = [asyncio.create_task(workers.run(gate))]
        await begun(gate)
        jobs += [asyncio.create_task(workers.run(lambda n=n: n)) for n in (1, 2)]
        await asyncio.sleep(0)
        closing = asyncio.create_task(asyncio.to_thread(workers.close))
        await asyncio.sleep(0.02)
        with pytest.raises(RequestError, match="shutting down"):
            workers.check_room()
        gate.go.set()
        assert await asyncio.gather(*jobs) == ["done", 1, 2]
        await closing

    asyncio.run(ask())


def test_many_jobs_of_many_threads_are_all_done(make_workers):
    workers = make_workers(4, queue=500)

    async def ask():
        return await asyncio.gather(
            *(workers.run(lambda n=n: (time.sleep(0.0001), n)[1]) for n in range(500))
        )

    assert asyncio.run(ask()) == list(range(500))
    assert (workers.busy, workers.waiting) == (0, 0)
