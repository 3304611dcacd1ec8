"""Kept memory: blocks that are freed are not given back and taken again, until afterwards."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

GLIBC = platform.libc_ver()[0] == "glibc"
# Two large tensors, taken and freed 20 times: pages that the process takes from the system, and the
# megabytes that it holds in the end.
PROGRAM = """
import resource, torch
from convforge.training.allocation import kept_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        one, other = torch.ones(8 << 20), torch.ones(4 << 20)
        del one, other
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def held():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() >> 20

faults()
plain, start = faults(), held()
with kept_memory():
    faults()
    kept, most = faults(), held()
print(plain, kept, most - start, held() - start, faults())
"""


@pytest.mark.skipif(not GLIBC, reason="another C library than glibc")
def test_within_memory_stays_with_the_process_and_afterwards_it_goes_back():
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    plain, kept, most, left, after = map(int, done.stdout.split())
    assert plain > 100_000, "48 MiB in pages of 4 KiB, 20 times"
    assert kept < plain / 20
    assert most >= 40
    assert left < 20
    assert after > 20 * kept
