"""What the server counts and times, as Prometheus reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

if TYPE_CHECKING:
    from collections.abc import Callable

CONTENT_TYPE = CONTENT_TYPE_LATEST

# Seconds; an image takes from a tenth of a millisecond to seconds, a queue adds to that.
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


class Metrics:
    """The metrics of one server; they share nothing with those of another in the same process."""

    def __init__(self, *, waiting: Callable[[], float], busy: Callable[[], float]) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._requests = Counter(
            "convforge_requests",
            "Requests that were answered, by route and status.",
            ("route", "method", "status"),
            registry=self._registry,
        )
        self._seconds = Histogram(
            "convforge_request_seconds",
            "Seconds from a request's first byte to its answer.",
            ("route",),
            buckets=BUCKETS,
            registry=self._registry,
        )
        self.images = Counter(
            "convforge_images", "Images that were classified.", registry=self._registry
        )
        self.image_seconds = Histogram(
            "convforge_image_seconds",
            "Seconds to decode and classify one image, without waiting.",
            buckets=BUCKETS,
            registry=self._registry,
        )
        for name, words, value in (
            ("convforge_queue_waiting", "Requests that wait for a worker.", waiting),
            ("convforge_workers_busy", "Workers that are at a request.", busy),
        ):
            Gauge(name, words, registry=self._registry).set_function(value)

    def count(self, *, route: str, method: str, status: int, seconds: float) -> None:
        """One answered request; `route` is a template of few, not a path of many."""
        method = method if method in METHODS else "other"
        self._requests.labels(route, method, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def text(self) -> bytes:
        """All of them in Prometheus' text format, of type CONTENT_TYPE."""
        return generate_latest(self._registry)
