"""Predictions of many images: one `Answer` an image, and the files that keep them.

Images are read one batch ahead of the model, and every format is written as answers come, so that
memory does not grow with their number. CSV has a line a class, JSON one list of records, Parquet a
row an image: `image`, `error`, and `predictions`, a list of {label, index, probability}.
"""

from __future__ import annotations

import csv
import io
import json
import math
import textwrap
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from convforge.errors import InputError, PackageError
from convforge.files import replacing
from convforge.images.decoding import BATCH, read_batches
from convforge.prediction import top_predictions

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from convforge.evaluation import Model
    from convforge.images.dataset import Split
    from convforge.prediction import Prediction

_ROWS = 1024  # of a Parquet file that are written at a time


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a model says of `image`, most probable first, or the `error` that kept it from that."""

    image: str
    predictions: tuple[Prediction, ...] = ()
    error: str | None = None

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values: the image with its predictions or with its error."""
        if self.error is not None:
            return {"image": self.image, "error": self.error}
        return {"image": self.image, "predictions": [asdict(one) for one in self.predictions]}


def predict_images(model: Model, part: Split, *, top: int = 5) -> Iterator[Answer]:
    """One answer an image of `part`, in order, with the `top` most probable classes.

    An image that cannot be used has an answer with an error. Raises InputError where `top` is below
    1 or the model gives probabilities that are no numbers.
    """
    start = 0
    for images, rows, bad in read_batches(part, BATCH, preprocess=model.card.preprocess):
        answers = {image.name: Answer(image=image.name, error=image.reason) for image in bad}
        table = model.probabilities(images) if images else ()
        for row, probabilities in zip(rows, table, strict=True):
            name = part.names[row]
            found = tuple(top_predictions(probabilities, model.classes, top=top))
            if not all(math.isfinite(one.probability) for one in found):
                raise InputError(
                    f"{name}: the classifier gives it probabilities that are no numbers; its "
                    "weights are damaged or its training diverged: train it again"
                )
            answers[name] = Answer(image=name, predictions=found)
        yield from (answers[name] for name in part.names[start : start + len(answers)])
        start += len(answers)


def csv_lines(answers: Iterable[Answer]) -> Iterator[str]:
    """A header, then a line a class of every image; images with an error have none."""
    yield _csv_line("image", "rank", "label", "index", "probability")
    for answer in answers:
        for rank, one in enumerate(answer.predictions, start=1):
            yield _csv_line(answer.image, rank, one.label, one.index, f"{one.probability:.9g}")


def json_lines(answers: Iterable[Answer], *, ascii_only: bool = False) -> Iterator[str]:
    """One JSON list, a record an image in the order of the answers."""
    before = "[\n"
    for answer in answers:
        text = json.dumps(answer.to_json(), indent=2, ensure_ascii=ascii_only)
        yield before + textwrap.indent(text, "  ")
        before = ",\n"
    yield "\n]\n" if before == ",\n" else "[]\n"


def save_parquet(path: Path, answers: Iterable[Answer]) -> None:
    """Write a Parquet file, complete or not at all.

    Raises PackageError where pyarrow is missing, OutputError where it cannot be written.
    """
    try:
        import pyarrow as pa  # noqa: PLC0415  (optional)
        from pyarrow import parquet  # noqa: PLC0415
    except ImportError:
        raise PackageError(
            'Parquet files need pyarrow: pip install "convforge[parquet]", or choose csv or json'
        ) from None
    prediction = pa.struct(
        [
            ("label", pa.string()),
            ("index", pa.int32()),
            ("probability", pa.float32()),
        ]
    )
    schema = pa.schema(
        [
            ("image", pa.string()),
            ("error", pa.string()),
            ("predictions", pa.list_(prediction)),
        ]
    )
    with replacing(path) as file, parquet.ParquetWriter(file, schema) as writer:
        for rows in _groups(answers, _ROWS):
            writer.write_table(pa.Table.from_pylist(rows, schema=schema))


def _groups(answers: Iterable[Answer], size: int) -> Iterator[list[dict[str, Any]]]:
    rows: list[dict[str, Any]] = []
    for answer in answers:
        rows.append(_as_utf8(answer.to_json()))
        if len(rows) == size:
            yield rows
            rows = []
    if rows:
        yield rows


def _as_utf8(value: Any) -> Any:
    """A JSON value in Unicode: bytes of a name that are no UTF-8 are escaped."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {key: _as_utf8(one) for key, one in value.items()}
    return [_as_utf8(one) for one in value] if isinstance(value, list) else value


def _csv_line(*cells: object) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()
