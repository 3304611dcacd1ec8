"""The line of a training run from scratch: what benchmarks of such runs say alike."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

import torch

from convforge.version import __version__

if TYPE_CHECKING:
    from pathlib import Path

    from convforge.classifier import Classifier
    from convforge.evaluation import Evaluation


def training_record(
    classifier: Classifier, found: Evaluation, *, run: Path, seconds: float
) -> dict[str, Any]:
    """What a line says of a run whose log lies in `run`; `seconds` are those of all of it."""
    rows = (run / "log.csv").read_text().splitlines()
    return {
        "network": classifier.card.network,
        "arguments": classifier.card.arguments,
        "top1": round(found.top1, 4),
        "interval": [round(end, 4) for end in found.interval],
        "trained": classifier.card.trained,
        "training_seconds": float(rows[-1].split(",")[2]),
        "seconds": round(seconds, 1),
        "machine": classifier.card.metrics["train"]["machine"],
        "recipe": classifier.card.recipe,
        "cores": os.cpu_count(),
        "load_average": round(os.getloadavg()[0], 1),
        "torch": torch.__version__,
        "convforge": __version__,
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
    }
