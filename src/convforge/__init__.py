"""convforge: from a folder of images to a compiled convolutional classifier.

The public verbs. Each is imported when it is first used, so that `import convforge`, and loading
and running an artifact, need no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from convforge.version import __version__

if TYPE_CHECKING:
    from convforge.analysis.explanation import explain
    from convforge.analysis.summary import describe
    from convforge.classifier import Classifier
    from convforge.compiler.compilation import compile  # noqa: A004
    from convforge.evaluation import evaluate
    from convforge.loading import load
    from convforge.networks.catalog import create
    from convforge.onnx_export import export
    from convforge.pretrained import load_pretrained
    from convforge.runtime import Runtime
    from convforge.scaling.scale import scale
    from convforge.training.trainer import train

_HOMES = {
    "Classifier": "convforge.classifier",
    "Runtime": "convforge.runtime",
    "compile": "convforge.compiler.compilation",
    "create": "convforge.networks.catalog",
    "describe": "convforge.analysis.summary",
    "evaluate": "convforge.evaluation",
    "explain": "convforge.analysis.explanation",
    "export": "convforge.onnx_export",
    "load": "convforge.loading",
    "load_pretrained": "convforge.pretrained",
    "scale": "convforge.scaling.scale",
    "train": "convforge.training.trainer",
}

__all__ = [
    "Classifier",
    "Runtime",
    "__version__",
    "compile",
    "create",
    "describe",
    "evaluate",
    "explain",
    "export",
    "load",
    "load_pretrained",
    "scale",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'convforge' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
