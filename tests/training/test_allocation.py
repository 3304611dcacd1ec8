"""Kept memory: blocks that are freed are not given back and taken again, until afterwards."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

GLIBC = platform.libc_ver()[0] == "glibc"
# Two large tensors, taken and freed 20 times: how many pages the process takes from the system.
PROGRAM = """
import resource, torch
from convforge.training.allocation import kept_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        one, other = torch.ones(8 << 20), torch.ones(4 << 20)
        del one, other
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

faults()
plain = faults()
with kept_memory():
    faults()
    kept = faults()
print(plain, kept, faults())
"""


@pytest.mark.skipif(not GLIBC, reason="another C library than glibc")
def test_within_memory_stays_with_the_process_and_afterwards_it_goes_back():
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    plain, kept, after = map(int, done.stdout.split())
    assert kept < plain / 20
    assert after > plain / 20
