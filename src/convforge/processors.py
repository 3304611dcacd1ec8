"""How many processors there are to work with."""

from __future__ import annotations

import os


def processors() -> int:
    """Processors that this process may use, where the system says so; else all of the machine's."""
    if hasattr(os, "sched_getaffinity"):  # as Linux has it
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
