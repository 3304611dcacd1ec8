"""What `benchmarks/peers.py` gives to each trainer, and what each tells it, as lines of JSON.

First one with the versions and settings, then one after every epoch: how many images were trained
on in it, and the share of right answers on the part val, None where there is none. What libraries
print goes to the standard error.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

_LINES = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)


def given(*options: str) -> argparse.Namespace:
    """The arguments that all trainers have, and `options` of one of them, texts each."""
    parser = argparse.ArgumentParser()
    parser.add_argument("photos", type=Path, help="a folder with train/ and, to validate on, val/")
    parser.add_argument("--network", required=True, choices=("mobilenet_v2", "resnet50"))
    parser.add_argument("--input-size", type=int, required=True)
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--batch-size", type=int, help="by default the trainer's own")
    parser.add_argument("--seed", type=int, default=0)
    for option in options:
        parser.add_argument(option)
    return parser.parse_args()


def tell(**fields: Any) -> None:
    """Hand one line to the benchmark."""
    print(json.dumps(fields), file=_LINES, flush=True)
