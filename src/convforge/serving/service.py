"""The classifier that is served: from pictures or a tensor to an answer, by workers."""

from __future__ import annotations

import io
import math
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from convforge.errors import DataError, InputError, list_failures
from convforge.images.picture import decode_file
from convforge.prediction import top_predictions
from convforge.processors import processors
from convforge.runtime import Runtime
from convforge.seal import is_sealed
from convforge.serving.metrics import Metrics
from convforge.serving.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from convforge.serving.settings import Settings

TIMED_RUNS = 5


@dataclass(frozen=True)
class Picture:
    """An image file as it was sent, by the name that messages call it."""

    name: str
    content: bytes


class Service:
    """A compiled classifier with its workers; each has a context of its own in the runtime.

    Use it as a context manager: on the way out, what was accepted is finished.
    """

    def __init__(self, runtime: Runtime, *, name: str, settings: Settings) -> None:
        self.runtime, self.name, self.settings = runtime, name, settings
        self.card = runtime.card
        self.workers = Workers(
            settings.workers or max(1, processors() // runtime.threads),
            queue=settings.queue,
            timeout_s=settings.timeout_s,
            prepare=runtime.selftest,  # in the thread's own context, which that makes
        )
        self.metrics = Metrics(waiting=lambda: self.workers.waiting, busy=lambda: self.workers.busy)
        self.ready = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.ready = False
        self.workers.close()

    def predict(self, pictures: Sequence[Picture], *, top: int) -> dict[str, Any]:
        """The `top` classes of every picture, as plain JSON values; computed in this thread.

        Raises one DataError for all pictures that cannot be used: then there is no answer for the
        others, so that none is overlooked.
        """
        started = time.perf_counter()
        images: list[dict[str, Any]] = []
        failed: list[str] = []
        for picture in pictures:
            try:
                images.append(self._predict(picture, top=top))
            except DataError as error:
                failed.append(str(error))
        if failed:
            raise DataError(list_failures(failed, total=len(pictures)))
        return {"model": self.name, "images": images, "ms": _milliseconds(started)}

    def maps(self, picture: Picture, *, layer: int, channels: int) -> bytes:
        """The first `channels` maps of a layer for a picture, as a NumPy file; -1 is the input.

        Raises DataError where the picture cannot be used.
        """
        x = self._input(picture)
        found = x if layer < 0 else self.runtime.feature_maps(x, layer)
        return _numpy_file(found[:, :channels] if found.ndim > 1 else found)

    def evidence(self, picture: Picture, *, index: int) -> bytes:
        """Grad-CAM of the class `index` for a picture, as a NumPy file.

        Raises DataError where the picture cannot be used.
        """
        return _numpy_file(self.runtime.grad_cam(self._input(picture), index))

    def times(self) -> dict[str, Any]:
        """Mean milliseconds of each layer over TIMED_RUNS runs."""
        x = np.full(self.runtime.input_shape, 0.5, np.float32)
        self.runtime.run(x)
        runs = [self.runtime.profile(x) for _ in range(TIMED_RUNS)]
        return {"ms": [sum(spent) / TIMED_RUNS for spent in zip(*runs, strict=True)]}

    def _input(self, picture: Picture) -> NDArray[np.float32]:
        image = self._decode(picture)
        try:
            return self.runtime.input_of(image)
        except DataError as error:
            raise DataError(f"{picture.name}: {error}") from None

    def _decode(self, picture: Picture) -> NDArray[np.uint8]:
        return decode_file(
            io.BytesIO(picture.content), name=picture.name, max_pixels=self.settings.max_pixels
        )

    def _predict(self, picture: Picture, *, top: int) -> dict[str, Any]:
        started = time.perf_counter()
        with self.metrics.image_seconds.time():
            image = self._decode(picture)
            try:
                probabilities = self.runtime.probabilities([image])[0]
            except DataError as error:
                raise DataError(f"{picture.name}: {error}") from None
        found = top_predictions(probabilities, self.runtime.classes, top=top)
        if not all(math.isfinite(one.probability) for one in found):
            raise DataError(
                f"{picture.name}: the classifier gives it probabilities that are no numbers; its "
                "weights are damaged or its training diverged: train it again"
            )
        self.metrics.images.inc()
        return {
            "image": picture.name,
            "predictions": [asdict(one) for one in found],
            "ms": _milliseconds(started),
        }


def open_service(
    file: Path, *, name: str | None, settings: Settings, threads: int | None
) -> Service:
    """The service of an artifact, self-tested; `threads` compute one image.

    Raises InputError where there is no such file, where it is no artifact, or of a bare network,
    and for a name that no path can have as one part.
    """
    name = file.stem if name is None else name
    _check_name(name)
    if not file.is_file():
        raise InputError(f"{file}: no such file; expected an artifact that `compile` wrote")
    if not is_sealed(file) and not _is_library(file):
        raise InputError(
            f"{file}: is no compiled artifact, and only those are served; compile it first: "
            f"convforge compile {file}"
        )
    runtime = Runtime(file, threads=threads)
    return Service(runtime, name=name, settings=settings)


def _check_name(name: str) -> None:
    """Refuse what /v2/models/NAME/infer would not be found under."""
    if name in {"", ".", ".."} or "/" in name or "%" in name or not name.isprintable():
        raise InputError(
            f"the model's name is {name!r}; expected one part of a URL's path, of letters that can "
            "be printed, without / and %, and neither . nor ..: choose another with --name"
        )


def _is_library(file: Path) -> bool:
    """Whether it begins as a shared library: the runtime says what it is if no artifact."""
    with file.open("rb") as stream:
        return stream.read(4) == b"\x7fELF"


def _numpy_file(array: NDArray[np.float32]) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


def _milliseconds(started: float) -> float:
    return round(1000 * (time.perf_counter() - started), 3)
