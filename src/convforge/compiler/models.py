"""What can be compiled, and how each becomes a graph.

    Classifier, or the file it was saved to   a graph with the classifier's card
    nn.Module, with an `input_shape`          a graph alone
    NETWORK, a name of the catalogue          untrained, a graph alone; with published `weights`, a
                                              classifier's graph and card
    FILE.onnx                                 a graph alone; with the card of the classifier that
                                              `export` wrote it of

Without a card there are no class names and no preprocessing: the artifact computes tensors.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from convforge.card import METADATA_KEY, Card
from convforge.errors import InputError, PackageError
from convforge.networks.catalog import CATALOG, create

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from convforge.classifier import Classifier
    from convforge.compiler.frontends.torch_model import Module
    from convforge.compiler.ir.graph import Array, Graph, Shape

    Compilable: TypeAlias = Classifier | Module | str | PathLike[str]

EXTRAS = {"torch": "train", "onnx": "onnx"}  # package → what installs it with convforge
SEED = 0  # of the weights of an untrained network: the same name gives the same artifact


@dataclass(frozen=True)
class Model:
    """A graph, the card of a classifier, and what the model itself makes of an input.

    `expected` and `exact`, the same in float64, are None where there is nothing but the graph to
    ask. `module` is the torch module, or `file` the ONNX file, for who wants to run
    the model elsewhere. `untrained` says that the weights are random.
    """

    name: str
    graph: Graph
    card: Card | None = None
    expected: Callable[[Array], Array] | None = None
    exact: Callable[[Array], NDArray[np.float64]] | None = None
    module: Module | None = None
    file: Path | None = None
    untrained: bool = False


def read_model(
    model: Compilable,
    *,
    input_shape: Shape | None = None,
    weights: str | None = None,
) -> Model:
    """The model of anything that can be compiled.

    Raises InputError where it is none of these, where `input_shape` or `weights` are missing, or
    given to one that has its own; UnsupportedError as the front ends do; PackageError where a
    package is missing.
    """
    try:
        if isinstance(model, str | PathLike):
            return _named(Path(model), input_shape=input_shape, weights=weights)
        return _object(model, input_shape=input_shape, weights=weights)
    except ModuleNotFoundError as error:
        if error.name not in EXTRAS:
            raise
        raise PackageError(
            f"compiling needs {error.name} to read the model, which is not installed; install it "
            f'with `pip install "convforge[{EXTRAS[error.name]}]"`'
        ) from None


def _object(model: object, *, input_shape: Shape | None, weights: str | None) -> Model:
    from convforge.classifier import Classifier  # noqa: PLC0415  (imports torch)
    from convforge.compiler.frontends.torch_model import is_module  # noqa: PLC0415

    if weights is not None:
        raise InputError(
            f"compile: weights={weights!r} goes with the name of a network; a "
            f"{type(model).__name__} has its own",
            names=["weights"],
        )
    if isinstance(model, Classifier):
        _refuse_shape(input_shape, of="a classifier")
        return _classifier(model)
    if is_module(model):
        return _module(model, input_shape=input_shape)
    raise InputError(
        f"compile: got a {type(model).__name__}; expected a Classifier, the path of its file, an "
        "nn.Module, the path of an .onnx file, or a network's name"
    )


def _named(path: Path, *, input_shape: Shape | None, weights: str | None) -> Model:
    if str(path) in CATALOG and not path.exists():
        _refuse_shape(input_shape, of="a network of the catalogue")
        return _network(str(path), weights=weights)
    if weights is not None:
        raise InputError(
            f"{path}: weights={weights!r} goes with the name of a network; a file has its own",
            names=["weights"],
        )
    if not path.is_file():
        raise InputError(f"{path}: no such file; {_what_it_may_be(path)}")
    if path.suffix == ".onnx":
        return _onnx_file(path, input_shape=input_shape)
    from convforge.classifier import Classifier  # noqa: PLC0415  (imports torch)

    _refuse_shape(input_shape, of="a classifier")
    return _classifier(Classifier.load(path), name=path.name)


def _onnx_file(path: Path, *, input_shape: Shape | None) -> Model:
    from convforge.compiler.frontends.onnx import read_onnx  # noqa: PLC0415  (imports onnx)

    graph, metadata = read_onnx(path, input_shape=input_shape)
    if METADATA_KEY not in metadata:
        return Model(path.name, graph, file=path)
    card = Card.loads(metadata[METADATA_KEY], origin=str(path), error=InputError)
    expected = (1, *card.preprocess.input_shape), (1, len(card.classes))
    found = graph.input_shape, graph.shapes[graph.output]
    if found != expected:
        raise InputError(
            f"{path}: carries the card of a classifier from {list(expected[0])} to "
            f"{list(expected[1])}, and computes {list(found[0])} to {list(found[1])}: leave "
            f"input_shape out, or take {METADATA_KEY!r} out of its metadata to compile it without",
            names=["input_shape"],
        )
    return Model(path.name, graph, card=card, file=path)


def _what_it_may_be(path: Path) -> str:
    near = difflib.get_close_matches(path.name, CATALOG, n=3, cutoff=0.6)
    hint = f", such as {' or '.join(near)}" if near else ""
    return f"expected a classifier that `save` wrote, an .onnx file, or a network's name{hint}"


def _network(name: str, *, weights: str | None) -> Model:
    if weights is not None:
        from convforge.pretrained import load_pretrained  # noqa: PLC0415  (imports torch)

        return _classifier(load_pretrained(name, weights=weights), name=name)
    from convforge.compiler.frontends.torch_model import drawn  # noqa: PLC0415  (imports torch)

    net = drawn(lambda: create(name), seed=SEED)
    return replace(_module(net, name=name, input_shape=(1, *net.input_shape)), untrained=True)


def _classifier(classifier: Classifier, *, name: str = "") -> Model:
    card = classifier.card
    found = _module(classifier.net, name=name, input_shape=(1, *card.preprocess.input_shape))
    return replace(found, name=name or card.network, card=card)


def _module(module: Module, *, name: str = "", input_shape: Shape | None) -> Model:
    from convforge.compiler.frontends.torch import from_torch  # noqa: PLC0415
    from convforge.compiler.frontends.torch_model import evaluator, exact_evaluator  # noqa: PLC0415

    if input_shape is None:
        raise InputError(
            f"compile: a bare {type(module).__name__} does not say what it takes; give "
            "input_shape=(1, 3, 224, 224) or what it is"
        )
    if len(input_shape) != 4 or min(input_shape) < 1:
        raise InputError(
            f"compile: input_shape={input_shape}; expected a batch of images, (N, C, H, W) such as "
            "(1, 3, 224, 224)"
        )
    images, channels, height, width = input_shape
    graph = from_torch(module, (channels, height, width), images=images)
    return Model(
        name or type(module).__name__,
        graph,
        expected=evaluator(module),
        exact=exact_evaluator(module),
        module=module,
    )


def _refuse_shape(input_shape: Shape | None, *, of: str) -> None:
    if input_shape is not None:
        raise InputError(
            f"compile: input_shape={input_shape} for {of}, which has its own; leave it out, or "
            "compile the bare nn.Module",
            names=["input_shape"],
        )
