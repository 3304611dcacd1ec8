"""What the commands show of their results, as text and tables that rich lays out.

Everything that comes from outside, names of files and classes, goes through `plain`.
"""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from convforge.analysis.rows import bytes_text, count_text
from convforge.cli.console import printable
from convforge.compiler.backend.package_wasm import loader_files

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from pathlib import Path

    from rich.console import JustifyMethod, RenderableType

    from convforge.card import Card
    from convforge.compiler.compilation import Artifact
    from convforge.evaluation import ClassScore, Evaluation
    from convforge.networks.catalog import Entry
    from convforge.networks.weight_sources import Published
    from convforge.prediction import Prediction

MATRIX_CLASSES = 20  # a confusion matrix of more fits no screen
BAD_LISTED = 10  # images that cannot be used, before they are only counted
SCORED_CLASSES = 30  # of more, those with the lowest F1 are shown
BAR_CELLS = 24

_EIGHTHS = " ▏▎▍▌▋▊▉"


def training(card: Card) -> Iterator[Text]:
    """What was trained on what, for how long, and how good it is on what was held out."""
    run = f"{card.trained} in {card.metrics['seconds']:.1f} s"
    yield plain(f"{card.network} on {card.data['uri']}, {len(card.classes)} classes, {run}", "bold")
    yield from _held_out(card)
    if "data" in card.metrics:
        from convforge.images.survey import sentences  # noqa: PLC0415  (slow to import)

        yield from map(plain, sentences(card.metrics["data"]))
    warning = card.metrics.get("train", {}).get("warning")
    if warning:
        yield plain(f"warning: {warning}", "bold red")


def saved(file: Path) -> Text:
    """Where a file went, and its size."""
    return plain(f"saved as {file}, {bytes_text(file.stat().st_size)}")


def evaluation(
    result: Evaluation, *, title: str, seconds: float | None = None
) -> Iterator[RenderableType]:
    """Accuracy with its interval, then a table of the classes, then what is taken for what."""
    yield plain(f"{title}, on {result.split} of {result.uri}" if result.uri else title, "bold")
    speed = "" if seconds is None else f" in {seconds:.2f} s"
    top5 = "" if result.top5 is None else f", top-5 {result.top5:.2%}"
    yield plain(f"top-1 {_accuracy(result.top1, result.interval, count=result.count)}{speed}{top5}")
    yield plain(
        f"mean over classes: precision {result.macro_precision:.2%}, "
        f"recall {result.macro_recall:.2%}, F1 {result.macro_f1:.2%}"
        + ("" if result.ece is None else f"; calibration error {result.ece:.2%}")
    )
    if result.bad:
        bad = count_of(len(result.bad), "image")
        yield plain(f"{bad} cannot be used, counted as errors:")
        yield from (plain(f"  {image.reason}") for image in result.bad[:BAD_LISTED])
    if len(result.bad) > BAD_LISTED:
        yield plain(f"  and {len(result.bad) - BAD_LISTED} more")
    yield _scores(result.scores)
    if len(result.classes) <= MATRIX_CLASSES:
        yield confusion(result)


def corruptions(
    found: Mapping[str, Evaluation], *, clean: Evaluation, severity: int
) -> Iterator[RenderableType]:
    """Accuracy on corrupted images beside that on clean ones, and the mean of all corruptions."""
    yield plain(f"corrupted, severity {severity} of 5", "bold")
    table = make_table("", "corruption", "top-1", "95 % interval", "to clean", left=("corruption",))
    for name, one in found.items():
        low, high = one.interval
        lost = f"{100 * (one.top1 - clean.top1):+.2f}"
        table.add_row(name, f"{one.top1:.2%}", f"{100 * low:.2f} to {high:.2%}", lost)
    yield table
    mean = sum(one.top1 for one in found.values()) / len(found)
    yield plain(f"mean over corruptions: {mean:.2%}, clean: {clean.top1:.2%}")


def confusion(result: Evaluation) -> Table:
    """How many images of each class (rows) were taken for which class (columns)."""
    short = max(map(len, result.classes)) <= 4
    headers = result.classes if short else [str(k) for k in range(len(result.classes))]
    table = make_table("true class ↓, answer →", "", *headers)
    for k, (label, row) in enumerate(zip(result.classes, result.confusion.tolist(), strict=True)):
        cells = [_count(count, right=k == j) for j, count in enumerate(row)]
        table.add_row(plain(label if short else f"{k} {label}", "bold"), *cells)
    return table


def predictions(image: str, found: Sequence[Prediction]) -> Iterator[RenderableType]:
    """One image's most probable classes, each with a bar."""
    yield plain(image, "bold")
    table = Table(box=None, show_header=False, padding=(0, 1))
    for prediction in found:
        table.add_row(
            plain(prediction.label),
            Text(_bar(prediction.probability), "cyan"),
            Text(f"{prediction.probability:8.3%}"),
        )
    yield table


def card(found: Card, *, title: str) -> Iterator[Text]:
    """What a file says about itself: network, classes, data, and how good it was on them."""
    yield plain(f"{title}: {found.network}, {len(found.classes)} classes")
    if "uri" in found.data:
        yield plain(f"trained on {found.data['uri']}")
    yield from _held_out(found)
    for precision in ("bf16", "int8"):
        if precision in found.metrics:
            yield from _measured(precision, found.metrics[precision])


def artifact(result: Artifact, *, seconds: float) -> Iterator[Text]:
    """What the compiler wrote."""
    size = bytes_text(result.file_bytes)
    yield plain(f"{result.path}, {size} for {result.target}, compiled in {seconds:.1f} s")
    yield plain(
        f"weights {bytes_text(result.weight_bytes)}, "
        f"working memory {bytes_text(result.arena_bytes)} a context"
    )
    yield from _beside(result)
    if result.deviation is not None:
        yield plain(
            f"its weights are {result.precision}: in the self-test no output is off by more than "
            f"{result.deviation:.2g} of the largest"
        )
    yield from _measured(result.precision, result.quantization or {})
    if result.gain is not None:
        yield from _gained(result.precision, result.gain)
    if result.weights == "random":
        yield plain(
            "its weights are random: it computes, and predicts nothing; --weights imagenet takes "
            "the published ones"
        )


def _beside(result: Artifact) -> Iterator[Text]:
    """What lies beside an artifact and belongs to it, or is in its way."""
    if result.target == "wasm32":
        loader, types = loader_files(result.path)
        yield plain(f"its loader is {loader}, with the types {types.name}")
    if result.target == "wheel":
        module = result.path.name.partition("-")[0]
        if (other := result.path.with_name(f"{module}.so")).exists():
            yield plain(
                f"note: once it is installed, `import {module}` finds {other} instead where that "
                "is in the working folder; import it from another one"
            )


def _measured(precision: str, record: Mapping[str, Any]) -> Iterator[Text]:
    """What is known of a network of another precision."""
    if precision not in record:
        if precision == "bf16":
            yield plain("bf16: what it costs in accuracy was not measured; --calibrate DATA does")
        return
    before, after = (record[kind] for kind in ("float32", precision))
    text = (
        f"{precision} on {after['count']} images of {record['split']}: {100 * after['top1']:.2f}%, "
        f"float32 {100 * before['top1']:.2f}%, the same answer for {100 * record['agreement']:.2f}%"
    )
    if "kept" in record:
        # An artifact of before does not say of how many.
        of = f" of {record['layers']}" if "layers" in record else ""
        text += f"; {len(record['kept']) or 'none'}{of} layers left in float32"
    yield plain(text)


def _gained(precision: str, gain: Mapping[str, Mapping[str, float]]) -> Iterator[Text]:
    """How large and how fast it is beside float32, and whether that is worth anything."""
    before, after = (gain[kind] for kind in ("float32", precision))
    sizes = [bytes_text(int(one["file_bytes"])) for one in (before, after)]
    yield plain(
        f"float32 → {precision} on this machine: {sizes[0]} → {sizes[1]}, {before['ms']:.3g} → "
        f"{after['ms']:.3g} ms an image in one thread"
    )
    if after["file_bytes"] >= before["file_bytes"] and after["ms"] >= before["ms"]:
        yield plain(
            f"note: {precision} gains nothing here, it is neither smaller nor faster: float32 is "
            "the better choice",
            "bold",
        )


def comparison(
    files: Mapping[str, Path], *, seconds: Mapping[str, Sequence[Sequence[float]]]
) -> Table:
    """Two files side by side, by the name of each: bytes, then the median time of each job.

    `seconds` holds, by the name of a job, the times that the first and the second file took.
    """
    table = make_table("", "", *files, "ratio", left=("",))
    sizes = [path.stat().st_size for path in files.values()]
    table.add_row("file", *map(bytes_text, sizes), f"{sizes[0] / sizes[1]:.2f}")
    for job, (first, second) in seconds.items():
        medians = 1e6 * statistics.median(first), 1e6 * statistics.median(second)
        cells = [f"{median:,.1f} µs" for median in medians]
        table.add_row(f"{job}, median of {len(first)}", *cells, f"{medians[0] / medians[1]:.2f}")
    return table


def networks(
    entries: Mapping[str, Entry], published: Mapping[str, Mapping[str, Published]]
) -> Table:
    """The catalogue, with the accuracy of published weights where there are some."""
    headers = ("network", "input", "classes", "parameters", "MACs", "weights", "top-1", "paper")
    table = make_table("", *headers, left=("network", "weights", "paper"))
    for name, entry in entries.items():
        weights = published.get(name, {})
        table.add_row(
            Text(name, "bold"),
            f"{entry.in_channels}x{entry.input_size}x{entry.input_size}",
            f"{entry.num_classes:,}",
            f"{entry.parameters:,}",
            count_text(entry.macs),
            "\n".join(weights),
            "\n".join(f"{one.top1_percent:.1f} %" for one in weights.values()),
            entry.paper.partition(",")[0],
        )
    return table


def make_table(title: str, *headers: str, left: Collection[str] = ()) -> Table:
    """An empty table whose columns are flush right, as numbers are, but for those in `left`."""
    table = Table(
        box=SIMPLE_HEAD, title=title or None, title_justify="left", title_style="", padding=(0, 1)
    )
    for header in headers:
        justify: JustifyMethod = "left" if header in left else "right"
        table.add_column(
            plain(header, "dim"), justify=justify, overflow="fold", no_wrap=header not in left
        )
    return table


def count_of(number: int, thing: str) -> str:
    """As "1 image" and "1,200 images"."""
    return f"{number:,} {thing}{'s' * (number != 1)}"


def plain(text: str, style: str = "") -> Text:
    """Text without markup in it, and without anything that a terminal would act on."""
    return Text(printable(text), style)


def _held_out(card: Card) -> Iterator[Text]:
    for part in ("val", "test"):
        if part in card.metrics:
            top1, interval, count = (
                card.metrics[part][key] for key in ("top1", "interval", "count")
            )
            yield plain(f"{part}: {_accuracy(top1, interval, count=count)}")


def _accuracy(share: float, interval: Sequence[float], *, count: int) -> str:
    low, high = interval
    images = count_of(count, "image")
    return f"{share:.2%} of {images} (95 % interval {100 * low:.2f} to {high:.2%})"


def _scores(scores: Sequence[ClassScore]) -> Table:
    shown = list(scores)
    title = ""
    if len(shown) > SCORED_CLASSES:
        shown = sorted(shown, key=lambda score: (score.f1 is None, score.f1))[:SCORED_CLASSES]
        title = f"the {SCORED_CLASSES} lowest F1 of {len(scores):,} classes"
    headers = ("class", "images", "precision", "recall", "F1")
    table = make_table(title, *headers, left=("class",))
    for score in shown:
        shares = (score.precision, score.recall, score.f1)
        table.add_row(
            plain(score.label, "bold"),
            f"{score.support:,}",
            *("-" if share is None else f"{share:.1%}" for share in shares),
        )
    return table


def _count(count: int, *, right: bool) -> Text:
    if count == 0:
        return Text("·", "dim")
    return Text(str(count), "green" if right else "bold red")


def _bar(share: float) -> str:
    """A bar of up to BAR_CELLS cells, drawn to an eighth of a cell."""
    eighths = round(share * BAR_CELLS * 8)
    return ("█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()).ljust(BAR_CELLS)
