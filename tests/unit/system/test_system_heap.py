"""A daemon gives back the memory of what it has done."""

from __future__ import annotations

import subprocess
import sys

import pytest

from scanner.system import heap

_SCRIPT = """
import threading
from pathlib import Path
from scanner.system import heap

def anonymous():
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Anonymous:"))

kept = []

def work():
    blocks = [bytes(2000) for _ in range(20_000)]
    kept.append(bytes(2000))  # lies at the top, so nothing below it would be given back
    del blocks

thread = threading.Thread(target=work)
thread.start()
thread.join()
before = anonymous()
heap.give_back()
print(before - anonymous())
"""


def test_free_memory_below_what_is_still_used_is_given_back() -> None:
    if heap._glibc() is None:
        pytest.skip("no glibc: its allocator is not the one in use")
    done = subprocess.run([sys.executable, "-c", _SCRIPT], capture_output=True, text=True, check=True)
    assert int(done.stdout) > 30_000  # KiB of the 40,000


def test_threads_share_a_few_arenas() -> None:
    """Blocks of six threads lie in no more than the two that are allowed; each would have its own else."""
    if heap._glibc() is None:
        pytest.skip("no glibc: its allocator is not the one in use")
    script = """
import ctypes, sys, threading
from scanner.system import heap
if len(sys.argv) > 1:
    heap.prepare()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
places, ready = [], threading.Barrier(6)

def work():
    ready.wait()
    places.append(libc.malloc(ctypes.c_size_t(2000)) >> 26)  # arenas begin at multiples of 64 MiB
    ready.wait()

threads = [threading.Thread(target=work) for _ in range(6)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(len(set(places)))
"""
    own, shared = (
        int(subprocess.run([sys.executable, "-c", script, *more], capture_output=True, check=True).stdout)
        for more in ([], ["shared"])
    )
    assert shared <= 2 < own
