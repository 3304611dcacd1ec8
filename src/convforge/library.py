"""The C interface of an artifact, through ctypes: what `convforge.h` says, to Python."""

from __future__ import annotations

import ctypes
import itertools
import json
import os
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from convforge.errors import ArtifactError
from convforge.seal import check_seal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

# How often each path was opened.
_OPENED: defaultdict[str, Iterator[int]] = defaultdict(itertools.count)


@dataclass(frozen=True)
class Layer:
    """One layer of an artifact: its name in the model, its kernel, its multiply-adds.

    What the artifact says besides: shape of its map, its parameters, the layers that wrote each map
    that it reads (-1 is the input), what a position sees of the input, its operations one after
    another, and the first filters of a convolution of the input; keys as in the compiler's
    `backend/facts.py`.
    """

    name: str
    kernel: str
    macs: int
    gives: tuple[int, ...]
    parameters: int
    reads: tuple[tuple[int, ...], ...]
    field: Mapping[str, Any] | None
    does: tuple[Mapping[str, Any], ...]
    filters: Mapping[str, Any] | None = None


def open_library(path: Path) -> ctypes.CDLL:
    """An artifact as a library, with the types of its functions.

    This runs code from the file. Raises ArtifactError where it is not a whole artifact of this
    version, or of another machine.
    """
    check_seal(path)
    try:
        library = ctypes.CDLL(_fresh_name(path))
        _declare(library)
    except OSError as error:
        raise ArtifactError(
            f"{path}: built for another machine ({error}); compile it on this one"
        ) from None
    except AttributeError as error:
        raise ArtifactError(
            f"{path}: lacks a part of an artifact's interface ({error}); compile it again"
        ) from None
    return library


def _fresh_name(path: Path) -> str:
    """The path, spelled as never before in this process.

    The system's loader gives what it loaded under a name before, unless the name is a new one: then
    it opens the file, and gives what it has of that same file. So another file at a path, compiled
    again, is another library. Windows lets nobody replace a file that is loaded.
    """
    times = next(_OPENED[str(path)])
    if times == 0 or os.name != "posix":
        return str(path)
    # Both mean the folder itself; a binary number, for it is to stay short.
    more = "".join("./" if bit == "1" else "/" for bit in f"{times:b}")
    return f"{path.parent}/{more}{path.name}"


def layers_of(library: ctypes.CDLL) -> tuple[Layer, ...]:
    """The layers in the order in which they are computed."""
    return tuple(_layer(library, place) for place in range(library.cf_layers()))


def _layer(library: ctypes.CDLL, place: int) -> Layer:
    facts = json.loads(library.cf_layer_facts(place))
    reads = tuple(tuple(writers) for writers in facts["reads"])
    return Layer(
        name=library.cf_layer_name(place).decode(),
        kernel=library.cf_layer_kernel(place).decode(),
        macs=library.cf_layer_macs(place),
        **facts | {"gives": tuple(facts["gives"]), "reads": reads, "does": tuple(facts["does"])},
    )


def shape_of(lengths: Iterable[int]) -> tuple[int, ...]:
    """The lengths of axes in C."""
    # 0 is behind the last; a pointer never stops by itself.
    return tuple(itertools.takewhile(bool, lengths))


def _declare(library: ctypes.CDLL) -> None:
    pointer, text, number = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int
    shape = ctypes.POINTER(ctypes.c_int32)
    functions: dict[str, tuple[object, list[object]]] = {
        "cf_create_with": (pointer, [text, number]),
        "cf_destroy": (None, [pointer]),
        "cf_level_name": (text, [pointer]),
        "cf_threads": (number, [pointer]),
        "cf_context_bytes": (ctypes.c_int64, [pointer]),
        "cf_card": (text, []),
        "cf_input_shape": (shape, []),
        "cf_output_shape": (shape, []),
        "cf_run": (number, [pointer, pointer, pointer]),
        "cf_predict": (number, [pointer, pointer, ctypes.c_int32, ctypes.c_int32, pointer]),
        "cf_preprocess_image": (
            number,
            [pointer, pointer, ctypes.c_int32, ctypes.c_int32, pointer],
        ),
        "cf_feature_maps": (number, [pointer, pointer, number, pointer]),
        "cf_grad_cam_shape": (shape, []),
        "cf_grad_cam": (number, [pointer, pointer, number, pointer]),
        "cf_selftest": (number, [pointer]),
        "cf_profile": (number, [pointer, pointer, pointer, pointer]),
        "cf_layers": (number, []),
        "cf_layer_name": (text, [number]),
        "cf_layer_kernel": (text, [number]),
        "cf_layer_macs": (ctypes.c_int64, [number]),
        "cf_layer_facts": (text, [number]),
    }
    for name, (result, arguments) in functions.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
