"""A bounded queue and the threads that take from it: who is accepted is answered.

    run ── full ──────────────→ RequestError 503, at once
     └── waiting ── too long ─→ RequestError 503
            └── begun ────────→ what the work gives or raises

Nothing waits outside the queue, so memory and delay stay bounded whatever comes in.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from convforge.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Callable

    T = TypeVar("T")

RETRY_AFTER_S = 1  # what a refused client is told to wait: a queue is emptied in less


@dataclass(eq=False)
class _Job:
    work: Callable[[], Any]
    future: Future[Any] = field(default_factory=Future)


class Workers:
    """`count` threads, and room for `queue` jobs beside those that they are at.

    Every thread calls `prepare` before its first job; what that raises, the constructor raises.
    """

    def __init__(
        self, count: int, *, queue: int, timeout_s: float, prepare: Callable[[], object]
    ) -> None:
        self._timeout_s = timeout_s
        self.count = count
        self._room = count + queue
        self._waiting: deque[_Job] = deque()
        self._busy = 0
        self._closing = False
        self._changed = threading.Condition()
        ready: list[Future[None]] = [Future() for _ in range(count)]
        self._threads = [
            threading.Thread(
                target=self._work, args=(prepare, one), name=f"worker {number}", daemon=True
            )
            for number, one in enumerate(ready, start=1)
        ]
        for thread in self._threads:
            thread.start()
        try:
            for one in ready:
                one.result()
        except BaseException:
            self.close()
            raise

    @property
    def waiting(self) -> int:
        """Jobs that no thread has begun."""
        return len(self._waiting)

    @property
    def busy(self) -> int:
        """Threads that are at a job."""
        return self._busy

    @property
    def full(self) -> bool:
        """Whether another job would be refused."""
        return self._busy + len(self._waiting) >= self._room

    def check_room(self) -> None:
        """Raise RequestError 503 where another job would be refused now."""
        if self._closing:
            raise RequestError(
                "the server is shutting down; ask again", status=503, retry_after=RETRY_AFTER_S
            )
        if self.full:
            raise RequestError(
                f"the server is busy: {self._busy} requests are computed and {self.waiting} wait; "
                "ask again later",
                status=503,
                retry_after=RETRY_AFTER_S,
            )

    async def run(self, work: Callable[[], T]) -> T:
        """What `work` gives, computed by one of the threads; raises what it raises.

        Raises RequestError 503 where there is no room, or where no thread began it in `timeout_s`.
        """
        job = self._submit(work)
        timer = asyncio.get_running_loop().call_later(self._timeout_s, self._expire, job)
        try:
            found: T = await asyncio.wrap_future(job.future)
        finally:
            timer.cancel()
        return found

    def close(self) -> None:
        """Refuse new jobs, finish the accepted ones, end the threads."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _submit(self, work: Callable[[], Any]) -> _Job:
        job = _Job(work)
        with self._changed:
            self.check_room()
            self._waiting.append(job)
            self._changed.notify()
        return job

    def _expire(self, job: _Job) -> None:
        with self._changed:
            if job not in self._waiting:
                return
            self._waiting.remove(job)
        if job.future.set_running_or_notify_cancel():
            error = RequestError(
                f"the server is busy: this waited {self._timeout_s:g} s for its turn; ask again "
                "later",
                status=503,
                retry_after=RETRY_AFTER_S,
            )
            job.future.set_exception(error)

    def _work(self, prepare: Callable[[], object], ready: Future[None]) -> None:
        try:
            prepare()
        except Exception as error:  # noqa: BLE001 - the constructor raises it
            ready.set_exception(error)
            return
        ready.set_result(None)
        while (job := self._next()) is not None:
            self._do(job)

    def _next(self) -> _Job | None:
        """A job to begin, once there is one; None when all is done and no more will come."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closing)
            if not self._waiting:
                return None
            self._busy += 1
            return self._waiting.popleft()

    def _do(self, job: _Job) -> None:
        error: Exception | None = None
        found = None
        wanted = job.future.set_running_or_notify_cancel()
        if wanted:
            try:
                found = job.work()
            except Exception as raised:  # noqa: BLE001 - who waits for it gets it
                error = raised
        # Before the answer: who has it may ask at once, and there is room.
        with self._changed:
            self._busy -= 1
        if error is not None:
            job.future.set_exception(error)
        elif wanted:
            job.future.set_result(found)
