"""`export`: a classifier as an ONNX file that other engines run, checked against onnxruntime.

The file computes logits from preprocessed images, "images" [N, C, H, W] → "logits" [N, K] with the
batch left open. What else a classifier is stands in the model's `metadata_props`:

    convforge   the whole card as JSON: class names, preprocessing, metrics, recipe, data
    names       the class names alone, in the order of the logits, as a JSON list

so that `compile` makes an artifact with names and preprocessing of it, and others can read them.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from convforge.card import METADATA_KEY
from convforge.errors import InputError, PackageError, UnsupportedError
from convforge.files import check_destination, write_file
from convforge.loading import load
from convforge.runtime import Runtime

if TYPE_CHECKING:
    from collections.abc import Callable
    from os import PathLike

    from numpy.typing import NDArray

    from convforge.classifier import Classifier

    Progress: TypeAlias = Callable[[int, int, str], object]

FORMATS = ("onnx",)
NAMES = "names"  # in the metadata, beside the card
INPUT, OUTPUT = "images", "logits"
OPSET = 18
EXAMPLES = 3  # images that the check computes, together and one at a time
TOLERANCE = 1e-4  # of the largest logit, as an artifact's self-test
LARGEST_FILE = 2**31 - 1  # bytes of a protobuf message


@dataclass(frozen=True, kw_only=True)
class Exported:
    """What `export` wrote.

    `deviation` is the largest difference between the file's logits, by onnxruntime, and the
    classifier's own, `limit` what was accepted; `engine` the onnxruntime that computed them.
    """

    path: Path
    format: str
    opset: int
    file_bytes: int
    input_shape: tuple[int, int, int]
    classes: int
    deviation: float
    limit: float
    engine: str


def export(
    model: Classifier | str | PathLike[str],
    path: str | PathLike[str],
    *,
    format: str = "onnx",  # noqa: A002  (the word of the command line)
    progress: Progress | None = None,
) -> Exported:
    """Write a classifier, or the file it was saved to, as an ONNX model with its card.

    The file gets its name once onnxruntime gives the classifier's own logits; a file of that name
    is replaced then. `progress` is called with (0, 0, what is being done).

    Raises InputError for an unknown format and for a compiled artifact, OutputError where the file
    cannot be written, UnsupportedError where the network has no form in ONNX or comes out as
    another one, PackageError where a package is missing.
    """
    destination = Path(path)
    if format not in FORMATS:
        raise InputError(f"export: no format {format!r}; there is {', '.join(FORMATS)}")
    check_destination(destination)
    report = progress or (lambda _done, _total, _what: None)
    report(0, 0, "reading the classifier")
    for package in ("onnx", "onnxscript", "onnxruntime"):
        _import(package)
    classifier = _classifier(model)
    report(0, 0, "writing the network as ONNX")
    content, opset = _with_card(classifier)
    report(0, 0, "comparing it in onnxruntime")
    deviation, limit = _deviation(classifier, content)
    if not deviation <= limit:
        raise UnsupportedError(
            f"{destination}: onnxruntime computes another network from it: a logit is off by "
            f"{deviation:.2g}, accepted are {limit:.2g}; nothing was written. Try another version "
            "of torch or onnxruntime"
        )
    write_file(destination, content)
    return Exported(
        path=destination,
        format=format,
        opset=opset,
        file_bytes=len(content),
        input_shape=classifier.preprocess.input_shape,
        classes=len(classifier.classes),
        deviation=deviation,
        limit=limit,
        engine=f"onnxruntime {_import('onnxruntime').__version__}",
    )


def to_onnx(module: Any, input_shape: tuple[int | None, ...]) -> Any:
    """The onnx.ModelProto of a torch module; a size that is None stays open.

    The module is left in evaluation mode. Raises UnsupportedError where torch cannot write it,
    PackageError where onnx or onnxscript are missing.
    """
    torch = _import("torch", extra="train")
    _import("onnxscript")
    example = torch.zeros([2 if size is None else size for size in input_shape])
    opened = {axis: torch.export.Dim.DYNAMIC for axis, size in enumerate(input_shape) if not size}
    # What it says about its own deprecations and steps is nobody's business here.
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        try:
            program = torch.onnx.export(
                module.eval(),
                (example,),
                dynamo=True,
                verbose=False,
                opset_version=OPSET,
                input_names=[INPUT],
                output_names=[OUTPUT],
                dynamic_shapes=(opened,) if opened else None,
                custom_translation_table=_own_operations(torch),
            )
        except Exception as error:  # noqa: BLE001  (whatever the exporter meets)
            raise UnsupportedError(
                f"torch.onnx.export could not write it: {_root(error)}"
            ) from None
    model = program.model_proto
    _remove_traces(model.graph)
    return model


def _own_operations(torch: Any) -> dict[Any, Callable[..., Any]]:
    """How convforge's own operations are said in ONNX's; only what the networks registered."""
    op: Any = _import("onnxscript").opset18

    def rbf(x: Any, codes: Any) -> Any:
        difference = op.Sub(op.Unsqueeze(x, op.Constant(value_ints=[1])), codes)
        last = op.Constant(value_ints=[2])
        return op.Neg(op.ReduceSum(op.Mul(difference, difference), last, keepdims=0))

    def local_response_norm(x: Any, n: int, k: float, alpha: float, beta: float) -> Any:
        # ONNX divides alpha by the size.
        return op.LRN(x, size=n, bias=k, alpha=alpha * n, beta=beta)

    own: dict[str, Callable[..., Any]] = {"rbf": rbf, "local_response_norm": local_response_norm}
    return {
        getattr(torch.ops.convforge, name).default: translation
        for name, translation in own.items()
        if hasattr(torch.ops.convforge, name)
    }


def _remove_traces(graph: Any) -> None:
    """What the exporter notes about itself: source lines of this machine, the rules it applied."""
    for part in (graph, *graph.node, *graph.value_info, *graph.initializer, *graph.input,
                 *graph.output):  # fmt: skip
        del part.metadata_props[:]
        part.ClearField("doc_string")


def _classifier(model: object) -> Classifier:
    if isinstance(model, (str, Path)) or hasattr(model, "__fspath__"):
        model = load(str(model))
    if isinstance(model, Runtime):
        raise InputError(
            f"{model.path}: a compiled artifact, whose network cannot be read back; export the "
            "classifier that it was compiled from"
        )
    from convforge.classifier import Classifier  # noqa: PLC0415  (imports torch)

    if not isinstance(model, Classifier):
        raise InputError(
            f"export: got a {type(model).__name__}; expected a Classifier or the path of its file"
        )
    return model


def _with_card(classifier: Classifier) -> tuple[bytes, int]:
    """The model with the card in it, serialised, and its opset."""
    from convforge.classifier import evaluation_mode  # noqa: PLC0415  (imports torch)

    onnx = _import("onnx")
    card, shape = classifier.card, classifier.preprocess.input_shape
    with evaluation_mode(classifier.net):
        model = to_onnx(classifier.net, (None, *shape))
    model.graph.name = card.network or "classifier"
    model.doc_string = (
        f"{INPUT} [N, {', '.join(map(str, shape))}], preprocessed as the card under "
        f"{METADATA_KEY!r} says, to {OUTPUT} [N, {len(card.classes)}] of the classes under "
        f"{NAMES!r}"
    )
    names = json.dumps(list(card.classes), ensure_ascii=False)
    onnx.helper.set_model_props(model, {METADATA_KEY: card.dumps(), NAMES: names})
    if model.ByteSize() > LARGEST_FILE:
        raise UnsupportedError(
            f"{card.network}: {model.ByteSize()} bytes; an ONNX file has up to {LARGEST_FILE}"
        )
    onnx.checker.check_model(model)
    opset = next(one.version for one in model.opset_import if not one.domain)
    return model.SerializeToString(), opset


def _deviation(classifier: Classifier, content: bytes) -> tuple[float, float]:
    """(largest difference of the logits, what is accepted) on images of noise."""
    engine = _import("onnxruntime")
    channels, height, width = classifier.preprocess.input_shape
    pixels = np.random.default_rng(0).integers(
        0, 256, (EXAMPLES, height, width, channels), np.uint8
    )
    x = classifier.preprocess.normalize(pixels)
    expected = classifier.logits(x)
    session = engine.InferenceSession(content, providers=["CPUExecutionProvider"])

    def run(images: NDArray[np.float32]) -> NDArray[np.float32]:
        logits: NDArray[np.float32] = session.run([OUTPUT], {INPUT: images})[0]
        return logits

    off = [run(x) - expected, *(run(x[i : i + 1]) - expected[i : i + 1] for i in range(EXAMPLES))]
    largest = max(float(np.abs(one).max()) for one in off)
    return largest, TOLERANCE * float(np.abs(expected).max())


def _import(name: str, *, extra: str = "export") -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise PackageError(
            f"export needs {name}, which is not installed; install it with "
            f'`pip install "convforge[{extra}]"`'
        ) from None


def _root(error: BaseException) -> str:
    """What the innermost of chained exceptions says first: the others say where it passed by."""
    while error.__cause__ is not None:
        error = error.__cause__
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
