"""The commands that learn from images and measure: `train` and `evaluate`."""

import json
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from convforge.cli import console, tables
from convforge.cli.options import ArgumentOption, ForceFlag, JsonFlag, arguments_from
from convforge.errors import OutputError, RecipeError
from convforge.files import check_destination
from convforge.loading import load
from convforge.networks import catalog
from convforge.training.recipe import Recipe, default_recipe

TRAIN_EXAMPLES = (
    "Examples:\n\n"
    "convforge train digits --network lenet5_relu\n\n"
    "convforge train photos/ -n mobilenet_v2 --weights imagenet --epochs 5 -o cats.safetensors"
)
EVALUATE_EXAMPLES = (
    "Examples:\n\n"
    "convforge evaluate digits.safetensors digits\n\n"
    "convforge evaluate cats.so photos/ --split val --json"
)


def train(
    data: Annotated[
        str,
        typer.Argument(
            help="A folder of class folders, `digits`, or `digits:SEED`.", metavar="DATA"
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
    epochs: Annotated[int | None, typer.Option(help="Passes over the training images.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Images a step.")] = None,
    lr: Annotated[float | None, typer.Option("--lr", help="Peak learning rate.")] = None,
    seed: Annotated[
        int | None, typer.Option(help="Fixes first weights, order and augmentation.")
    ] = None,
    recipe: Annotated[
        Path | None,
        typer.Option(help="A JSON file of recipe fields; the options above go over it."),
    ] = None,
    weights: Annotated[
        str | None, typer.Option(help="Start from published weights, or from a file of them.")
    ] = None,
    input_size: Annotated[
        int | None, typer.Option(help="Side of the network's input in pixels.")
    ] = None,
    arguments: ArgumentOption = None,
    force: ForceFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Train a network on images and save the classifier.

    A folder has train/ and, if there are any, val/ and test/, each with one folder a class; or
    class folders only, of which a fifth of the images are then held out to test on.
    """
    catalog.entry(network)
    file = output or Path(f"{_data_name(data)}.safetensors")
    check_destination(file)
    if file.exists() and not force:
        raise OutputError(
            f"{file}: exists already; name another file with --output, or replace it with --force"
        )
    overrides = {"epochs": epochs, "batch_size": batch_size, "learning_rate": lr, "seed": seed}
    with console.progress_bar("loading torch") as progress:
        chosen = _recipe(network, file=recipe, overrides=overrides)
        from convforge.training import trainer  # noqa: PLC0415  (imports torch)

        classifier = trainer.train(
            data,
            network=network,
            recipe=chosen,
            weights=weights,
            input_size=input_size,
            arguments=arguments_from(arguments),
            progress=progress,
        )
        classifier.save(file)
    if as_json:
        console.show_json(_training_record(file, classifier.card.dumps()))
    else:
        console.show(*tables.training(classifier.card), tables.saved(file))


def evaluate(
    file: Annotated[
        Path, typer.Argument(help="A classifier or a compiled artifact.", metavar="FILE")
    ],
    data: Annotated[
        str, typer.Argument(help="A folder of class folders, or `digits`.", metavar="DATA")
    ],
    *,
    split: Annotated[
        str | None,
        typer.Option(help="The part to evaluate on; by default test, else val."),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Measure a classifier: accuracy with its interval, each class, and what it confuses.

    On the images that it was trained on, those that were held out then are what it is measured on.
    """
    with console.progress_bar(f"loading {file.name}") as progress:
        model = load(file)
        from convforge.evaluation import evaluate as measure  # noqa: PLC0415  (the verb's name)

        started = time.perf_counter()
        evaluation = measure(model, data, split=split, progress=progress)
        seconds = time.perf_counter() - started
    if as_json:
        record = {"file": str(file), **evaluation.to_json(), "seconds": round(seconds, 3)}
        console.show_json(record)
    else:
        console.show(*tables.evaluation(evaluation, title=str(file), seconds=seconds))


def _data_name(data: str) -> str:
    """What to call a classifier of this data: the folder's own name, also where it is "."."""
    path = Path(data)
    return path.resolve().name if path.is_dir() else path.name.partition(":")[0] or "classifier"


def _recipe(network: str, *, file: Path | None, overrides: dict[str, float | None]) -> Recipe:
    """The network's own recipe, then the file's fields over it, then the options'."""
    fields = default_recipe(network).to_json()
    if file is not None:
        try:
            found = json.loads(file.read_text(encoding="utf-8"))
        except OSError as error:
            raise RecipeError(
                f"{file}: cannot be read ({error.strerror}); expected a JSON file of recipe fields"
            ) from None
        except ValueError as error:
            raise RecipeError(f"{file}: not JSON ({error}); expected an object") from None
        if not isinstance(found, dict):
            raise RecipeError(f'{file}: a JSON object was expected, such as {{"epochs": 5}}')
        try:
            fields = Recipe.from_json({**fields, **found}).to_json()
        except RecipeError as error:
            raise RecipeError(f"{file}: {error}") from None
    given = {name: value for name, value in overrides.items() if value is not None}
    return Recipe.from_json({**fields, **given})


def _training_record(file: Path, card: str) -> dict[str, Any]:
    """The card, but for the long list of held-out images, and where it was saved."""
    fields = json.loads(card)
    split = {key: value for key, value in fields["data"]["split"].items() if key != "test"}
    return {
        "file": str(file),
        "file_bytes": file.stat().st_size,
        **fields,
        "data": {**fields["data"], "split": split},
    }
