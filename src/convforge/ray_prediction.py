"""Predictions of many images on any number of machines: Ray Data, one artifact, Parquet parts.

    names → chunks → answered by an actor a core → part-00000.parquet, part-00001.parquet, …

Every chunk is one part, written here under a temporary name and renamed, so an image is in the
parts once, whatever machine fails and however often a chunk is computed. What is there already is
not computed again: the same call goes on where another one was stopped. The images are read by the
machines that answer, under the same paths; the model is sent to them.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import math
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from convforge.answers import Answer, predict_images, save_parquet
from convforge.errors import InputError, OutputError, PackageError
from convforge.files import write_file
from convforge.images.paths import read_names
from convforge.loading import load
from convforge.prediction import Prediction

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from convforge.images.threads import Progress

CHUNK = 512  # images of a part: seconds of work, and what is lost with a machine
PLAN = "plan.json"


@dataclass(frozen=True, kw_only=True)
class Predicted:
    """What became of `count` images: messages of those that `failed`.

    `found` images were in parts before; the others were answered on so many `machines`.
    """

    count: int
    found: int
    machines: int
    failed: tuple[str, ...]


def predict_on_ray(
    file: Path,
    names: Sequence[str],
    folder: Path,
    *,
    top: int = 5,
    chunk: int = CHUNK,
    earlier: Literal["continue", "remove"] = "continue",
    progress: Progress | None = None,
) -> Predicted:
    """Answer the images `names` by the model of `file`, into parts in `folder`, in their order.

    Ray runs where RAY_ADDRESS says, else on this machine; convforge is installed on every machine.
    `folder` is made; one that has another call's parts is refused, unless what an `earlier` call
    left is to be removed. `progress` is called with the images that are done.

    Raises PackageError where ray or pyarrow is missing, what `load` raises for the file,
    OutputError where the folder is not this call's or cannot be written, InputError where no
    machine can run the model.
    """
    ray = _ray()
    load(file)  # a damaged one is refused here
    model = file.read_bytes()
    chunks = [tuple(names[i : i + chunk]) for i in range(0, len(names), chunk)]
    plan = {
        "model": hashlib.sha256(model).hexdigest(),
        "images": hashlib.sha256(json.dumps(list(names)).encode()).hexdigest(),
        "count": len(names),
        "top": top,
        "chunk": chunk,
    }
    _open(folder, plan, earlier=earlier)
    left = [number for number in range(len(chunks)) if not _part(folder, number).exists()]
    found = done = len(names) - sum(len(chunks[number]) for number in left)
    machines = set()
    for number, answers, machine in _answered(ray, model, file.suffix, chunks, left, top=top):
        save_parquet(_part(folder, number), answers)
        machines.add(machine)
        done += len(answers)
        if progress is not None:
            progress(done, len(names), f"predicting with {file.name}")
    failed = tuple(_failed(folder, len(chunks)))
    return Predicted(count=len(names), found=found, machines=len(machines), failed=failed)


class Answerer:
    """What a core of a machine does: it opens the model once and answers chunk by chunk.

    `model` is a reference to the file's bytes.
    """

    def __init__(self, model: Any, *, suffix: str, below: str, top: int) -> None:
        ray = _ray()
        self._folder = tempfile.TemporaryDirectory(prefix="convforge-")
        file = Path(self._folder.name) / f"model{suffix}"
        file.write_bytes(ray.get(model))
        self._model = load(file)
        self._below, self._top = Path(below), top
        self._machine = ray.get_runtime_context().get_node_id()

    def __call__(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Of {"number", "names" as JSON}: {"number", "answers" as JSON, "machine"}."""
        part = read_names(json.loads(row["names"]), below=self._below)
        answers = [one.to_json() for one in predict_images(self._model, part, top=self._top)]
        return {
            "number": row["number"],
            "answers": json.dumps(answers),
            "machine": self._machine,
        }


def _answered(
    ray: Any,
    model: bytes,
    suffix: str,
    chunks: Sequence[Sequence[str]],
    left: Sequence[int],
    *,
    top: int,
) -> Iterator[tuple[int, list[Answer], str]]:
    """(number, answers, machine) of the chunks `left`, as they come."""
    if not left:
        return
    if not ray.is_initialized():
        ray.init(log_to_driver=False, logging_level="warning")
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    cores = max(1, math.floor(ray.cluster_resources().get("CPU", 1)))
    items = [{"number": number, "names": json.dumps(list(chunks[number]))} for number in left]
    data = ray.data.from_items(items, override_num_blocks=len(items)).map(
        Answerer,
        fn_constructor_args=(ray.put(model),),
        fn_constructor_kwargs={"suffix": suffix, "below": str(Path.cwd()), "top": top},
        compute=ray.data.ActorPoolStrategy(size=min(cores, len(items))),
        num_cpus=1,
    )
    try:
        with _quiet():
            for row in data.iter_rows():
                answers = [_answer(one) for one in json.loads(row["answers"])]
                yield row["number"], answers, row["machine"]
    except ray.exceptions.RayError as error:
        raise InputError(f"predict: no machine could answer: {_cause(error)}") from None


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Within, Ray Data says what is wrong and nothing else."""
    logger = logging.getLogger("ray.data")
    before = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(before)


def _answer(record: Mapping[str, Any]) -> Answer:
    predictions = tuple(Prediction(**one) for one in record.get("predictions", ()))
    return Answer(image=record["image"], predictions=predictions, error=record.get("error"))


def _cause(error: BaseException) -> str:
    """The last line of the innermost error that says something; traces stand before it."""
    said = ""
    inner: BaseException | None = error
    while inner is not None:
        said = str(inner).strip() or said
        inner = getattr(inner, "cause", None) or inner.__cause__
    return said.splitlines()[-1] if said else type(error).__name__


def _remove_parts(folder: Path) -> None:
    """Remove what an earlier call left in a folder; other files stay."""
    for path in [folder / PLAN, *folder.glob("part-*.parquet")]:
        path.unlink(missing_ok=True)


def _open(folder: Path, plan: Mapping[str, Any], *, earlier: Literal["continue", "remove"]) -> None:
    """Make the folder and note what its parts are of, or check that it is this call's."""
    kept = folder / PLAN
    if kept.exists() and earlier == "continue":
        before = json.loads(kept.read_text("utf-8"))
        differing = [name for name, value in plan.items() if before.get(name) != value]
        if differing:
            raise OutputError(
                f"{folder}: has parts of another call (other {', '.join(differing)}); name another "
                "folder, or start again there by --force"
            )
        return
    if kept.exists():
        _remove_parts(folder)
    elif folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise OutputError(f"{folder}: is there and has no parts to go on with; name a new folder")
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be made ({error.strerror})") from None
    write_file(kept, json.dumps(plan, indent=2).encode())


def _part(folder: Path, number: int) -> Path:
    return folder / f"part-{number:05d}.parquet"


def _failed(folder: Path, count: int) -> Iterator[str]:
    from pyarrow import parquet  # noqa: PLC0415  (optional; a part was written by it)

    for number in range(count):
        for error in parquet.read_table(_part(folder, number), columns=["error"])["error"]:
            if error.is_valid:
                yield error.as_py()


def _ray() -> Any:
    try:
        import pyarrow  # noqa: F401, ICN001, PLC0415  (optional)
        import ray  # noqa: PLC0415  (optional)
        import ray.data  # noqa: PLC0415  (optional)
    except ModuleNotFoundError as error:
        raise PackageError(
            f"predicting on many machines needs {error.name}, which is not installed; install it "
            'with `pip install "convforge[ray]"` on each of them'
        ) from None
    return ray
