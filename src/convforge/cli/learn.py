"""The commands that learn from images and measure: `train` and `evaluate`."""

import contextlib
import json
import os
import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from convforge.card import Card
from convforge.cli import console, tables
from convforge.cli.options import (
    ArgumentOption,
    ForceFlag,
    JsonFlag,
    arguments_from,
    share_from,
)
from convforge.errors import InputError, OutputError, RecipeError
from convforge.file_kinds import SUFFIX, check_classifier_name
from convforge.files import check_destination
from convforge.loading import load
from convforge.networks import catalog
from convforge.processors import processors
from convforge.training.recipe import CHOICES
from convforge.training.recipes import find_recipe, with_fields

if TYPE_CHECKING:
    from convforge.classifier import Classifier
    from convforge.evaluation import Answered
    from convforge.training.loggers import Loggers
    from convforge.training.measuring import Measured

TRAIN_EXAMPLES = (
    "Examples:\n\n"
    "convforge train digits --network lenet5_relu\n\n"
    "convforge train photos/ -n mobilenet_v2 --weights imagenet --epochs 5 -o cats.safetensors"
)
EVALUATE_EXAMPLES = (
    "Examples:\n\n"
    "convforge evaluate digits.safetensors digits\n\n"
    "convforge evaluate cats.so photos/ --split val --json\n\n"
    "convforge evaluate cats.so photos/ --corrupt all --severity 3\n\n"
    "convforge evaluate cats.so photos/ --report cats.html"
)


def train(
    data: Annotated[
        str,
        typer.Argument(
            help="A folder of class folders, `digits`, a CSV or Parquet file, tar shards, IDX or "
            "CIFAR files, `torchvision:NAME`: docs/images.md has all of them.",
            metavar="DATA",
        ),
    ],
    *,
    network: Annotated[
        str,
        typer.Option(
            "--network",
            "-n",
            help="Its name; `convforge list` shows them all.",
            autocompletion=lambda incomplete: [
                name for name in catalog.names() if name.startswith(incomplete)
            ],
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="The classifier's file; by default DATA's name .safetensors."
        ),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            help="`fast` (the network's own), `paper`, `tune` (the default with --weights), or a "
            "YAML or JSON file of fields; the options below go over it.",
            metavar="fast|paper|tune|FILE",
        ),
    ] = None,
    epochs: Annotated[
        str | None,
        typer.Option(help="Passes over the images; `auto`: as fit into --time-limit."),
    ] = None,
    time_limit: Annotated[
        str | None, typer.Option(help="For all of it, as 90s, 20m or 1h30m.", metavar="TIME")
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option("--batch-size", "-b", help="Images a step.")
    ] = None,
    lr: Annotated[float | None, typer.Option("--lr", help="Peak learning rate.")] = None,
    opt: Annotated[
        str | None, typer.Option("--opt", help=f"Optimiser: {', '.join(CHOICES['optimizer'])}.")
    ] = None,
    sched: Annotated[
        str | None, typer.Option("--sched", help=f"Schedule: {', '.join(CHOICES['schedule'])}.")
    ] = None,
    weight_decay: Annotated[float | None, typer.Option(help="On weights only.")] = None,
    smoothing: Annotated[
        float | None, typer.Option(help="Share of the target that all classes get.")
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(help="Fixes first weights, order, augmentation and dropout."),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            help="Start from published weights, imagenet, from a classifier's file, or from a file "
            "of weights alone."
        ),
    ] = None,
    head_only: Annotated[
        bool, typer.Option("--head-only", help="With --weights: fit the last layer alone.")
    ] = False,
    input_size: Annotated[
        int | None, typer.Option(help="Side of the network's input in pixels.")
    ] = None,
    arguments: ArgumentOption = None,
    max_bad: Annotated[
        str, typer.Option(help="Share of a part's images that may be damaged and are left out.")
    ] = "1%",
    device: Annotated[
        str, typer.Option(help="`auto` (a GPU where there is one), `cpu`, `cuda` or `cuda:1`.")
    ] = "auto",
    precision: Annotated[
        str,
        typer.Option(
            help="Of convolutions; `auto`: what a few measured steps find faster.",
            metavar="auto|fp32|bf16",
        ),
    ] = "auto",
    run: Annotated[
        Path | None,
        typer.Option(help="Folder of the run's state and log; by default the file's name .run."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the state in the run's folder.")
    ] = False,
    save_every: Annotated[
        str, typer.Option(help="How often the state is saved between epochs.", metavar="TIME")
    ] = "60s",
    log: Annotated[
        list[str] | None,
        typer.Option(
            "--log",
            help="Show the run there too; can be repeated.",
            metavar="tensorboard|mlflow|wandb",
        ),
    ] = None,
    force: ForceFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Train a network on images and save the classifier.

    Ctrl-C and SIGTERM end it after the step under way; the same command with --resume goes on from
    there, also after a crash. Started by torchrun, all processes train together.

    A folder has train/ and, if there are any, val/ and test/, each with one folder a class; or
    class folders only, of which a fifth of the images are then held out to test on.
    """
    catalog.entry(network)
    file, folder = _destinations(output, run, data=data, force=force)
    over = {
        "epochs": _whole(epochs),
        "batch_size": batch_size,
        "learning_rate": lr,
        "schedule": sched,
        "weight_decay": weight_decay,
        "label_smoothing": smoothing,
        "seed": seed,
    }
    chosen = find_recipe(network, recipe or _usual(weights), optimizer=opt)
    limit, every = _time_limit(epochs, time_limit), seconds_of(save_every, option="--save-every")
    measured: list[Measured] = []
    with _begun(folder, log or (), resume=resume, force=force) as (logger, progress):
        from convforge.training import trainer  # noqa: PLC0415  (imports torch)

        classifier = trainer.train(
            data,
            network=network,
            recipe=with_fields(chosen, over),
            time_limit=limit,
            weights=weights,
            tune="head" if head_only else "all",
            input_size=input_size,
            arguments=arguments_from(arguments),
            max_bad=share_from(max_bad, option="--max-bad"),
            device=device,
            precision=precision,
            folder=folder,
            earlier="continue" if resume else "remove",
            save_every=every,
            logger=logger,
            measured=measured.append,
            progress=progress,
        )
        if os.environ.get("RANK", "0") != "0":
            return  # of a team the first one writes
        report = _keep(classifier, measured[0], logger, file=file, folder=folder)
    _show_trained(classifier.card, file, report, logger.said, as_json=as_json)


def evaluate(
    file: Annotated[
        Path, typer.Argument(help="A classifier or a compiled artifact.", metavar="FILE")
    ],
    data: Annotated[str, typer.Argument(help="As `convforge train` takes it.", metavar="DATA")],
    *,
    split: Annotated[
        str | None,
        typer.Option(help="The part to evaluate on; by default test, else val."),
    ] = None,
    corrupt: Annotated[
        str | None,
        typer.Option(help="Measure on corrupted images too: fog,snow or all.", metavar="NAME,..."),
    ] = None,
    severity: Annotated[int, typer.Option(help="Of the corruptions.", min=1, max=5)] = 3,
    report: Annotated[
        Path | None,
        typer.Option(help="A page of it all: matrix, classes, calibration, surest mistakes."),
    ] = None,
    force: ForceFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Measure a classifier: accuracy with its interval, each class, and what it confuses.

    On the images that it was trained on, those that were held out then are what it is measured on.
    """
    from convforge.images.corruptions import CORRUPTIONS, Corruption  # noqa: PLC0415  (slow)
    from convforge.report.evaluation import save_evaluation_report  # noqa: PLC0415  (slow)
    from convforge.report.plots import check_matplotlib  # noqa: PLC0415  (slow, as evaluation is)

    names = (
        CORRUPTIONS if corrupt == "all" else [name for name in (corrupt or "").split(",") if name]
    )
    corruptions = [Corruption(name, severity) for name in names]
    if report is not None:
        _check_new(report, force=force, option="--report")
        check_matplotlib()
    kept: list[Answered] = []
    with console.progress_bar(f"loading {file.name}") as progress:
        model = load(file, workers=processors())
        from convforge.evaluation import evaluate as measure  # noqa: PLC0415  (the verb's name)

        started = time.perf_counter()
        evaluation = measure(model, data, split=split, answered=kept.append, progress=progress)
        seconds = time.perf_counter() - started
        found = {
            one.name: measure(model, data, split=split, corruption=one, progress=progress)
            for one in corruptions
        }
    if report is not None:
        title = f"{file.name} on {data}"
        corrupted = {f"{name}, severity {severity}": one for name, one in found.items()}
        save_evaluation_report(
            report, model.card, kept[0], title=title, seconds=seconds, corrupted=corrupted
        )
    if as_json:
        record = {"file": str(file), **evaluation.to_json(), "seconds": round(seconds, 3)}
        if found:
            figures = {name: one.summary() for name, one in found.items()}
            record["corruptions"] = {"severity": severity, **figures}
        console.show_json(record)
    else:
        console.show(*tables.evaluation(evaluation, title=str(file), seconds=seconds))
        if found:
            console.show(*tables.corruptions(found, clean=evaluation, severity=severity))


def _destinations(
    output: Path | None, run: Path | None, *, data: str, force: bool
) -> tuple[Path, Path]:
    """The classifier's file and the run's folder.

    The file is refused before the work where it cannot be written or is there.
    """
    file = output or Path(f"{data_name(data)}{SUFFIX}")
    check_classifier_name(file)
    _check_new(file, force=force, option="--output")
    folder = run or file.with_suffix(".run")
    if file.resolve() == folder.resolve():
        raise OutputError(
            f"{file}: is the folder of the run too; name another file with --output, or another "
            "folder with --run"
        )
    return file, folder


def _check_new(file: Path, *, force: bool, option: str) -> None:
    """Refuse, before the work, a file that cannot be written, or is there without `force`."""
    check_destination(file)
    if file.exists() and not force:
        raise OutputError(
            f"{file}: exists already; name another file with {option}, or replace it with --force"
        )


@contextlib.contextmanager
def _begun(
    folder: Path, log: Sequence[str], *, resume: bool, force: bool
) -> Iterator[tuple["Loggers", "console.Report | None"]]:
    """Within a run goes on, or starts where it may; its loggers and its progress."""
    with console.progress_bar("loading torch") as progress:
        from convforge.training import journal, loggers  # noqa: PLC0415  (imports torch)

        with loggers.open_loggers(log, folder) as logger:
            if not (resume or force):
                journal.check_ended(folder)
            yield logger, progress


def data_name(data: str) -> str:
    """What to call a classifier of this data: the folder's own name, also where it is "."."""
    path = Path(data)
    return path.resolve().name if path.is_dir() else path.name.partition(":")[0] or "classifier"


def _time_limit(epochs: str | None, text: str | None) -> float | None:
    """Seconds of a time limit; there is one if and only if the epochs are to fit into it."""
    if text is None and epochs != "auto":
        return None
    if text is None:
        raise RecipeError("--epochs auto: expected --time-limit beside it, such as 20m")
    if epochs not in {None, "auto"}:
        raise RecipeError(
            f"--time-limit {text}: sets the number of epochs itself; leave out --epochs {epochs}, "
            "or say --epochs auto"
        )
    seconds = seconds_of(text, option="--time-limit")
    if seconds == 0:
        raise RecipeError(f"--time-limit {text}: leaves no time; expected one such as 20m")
    return seconds


def seconds_of(text: str, *, option: str) -> float:
    """Of 90s, 20m or 1h30m. Raises RecipeError, naming the option, for anything else."""
    found = re.fullmatch(r"(?=\d)(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s?)?", text)
    if found is None:
        raise RecipeError(f"{option} {text}: expected a time such as 90s, 20m or 1h30m")
    hours, minutes, rest = (int(part or 0) for part in found.groups())
    return 3600.0 * hours + 60 * minutes + rest


def _usual(weights: str | None) -> str:
    return "fast" if weights is None else "tune"


def _whole(epochs: str | None) -> int | str | None:
    """The number; None for "auto"; what is no number as it is, for the recipe to refuse."""
    if epochs == "auto":
        return None
    return int(epochs) if epochs and re.fullmatch("-?[0-9]{1,18}", epochs) else epochs


def _keep(
    classifier: "Classifier", measured: "Measured", logger: "Loggers", *, file: Path, folder: Path
) -> Path | InputError:
    """Save what was trained, remove the run's states, write its report, or say why there is none.

    By then the classifier is saved, so the run ends well without a report too, and `logger` is told
    of its end.
    """
    from convforge.training.journal import clear_states  # noqa: PLC0415  (imports torch)
    from convforge.training.report import save_report  # noqa: PLC0415  (imports torch)

    classifier.save(file)
    clear_states(folder)
    report: Path | InputError
    try:
        report = save_report(folder, classifier.card, measured)
    except InputError as error:
        report = error
    logger.end(classifier.card, [report] if isinstance(report, Path) else [])
    return report


def _show_trained(
    card: Card, file: Path, report: Path | InputError, logged: Sequence[str], *, as_json: bool
) -> None:
    """What was trained; as JSON the card, but for the long lists of held-out images."""
    if not as_json:
        said = f"report: {report}" if isinstance(report, Path) else f"no report: {report}"
        words = map(tables.plain, (said, *logged))
        console.show(*tables.training(card), tables.saved(file), *words)
        return
    fields = json.loads(card.dumps())
    split = {k: v for k, v in fields["data"]["split"].items() if k not in {"test", "val", "known"}}
    record = {"file": str(file), "file_bytes": file.stat().st_size, **fields}
    record["report"] = str(report) if isinstance(report, Path) else None
    record["logged"] = list(logged)
    console.show_json({**record, "data": {**fields["data"], "split": split}})
