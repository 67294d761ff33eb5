"""Asking a file system whether it answers, in a process that may get stuck in our place."""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress

# Opens, stats and lists: a server can be up and a single one of these hang.
_LOOK = """
import os, sys
fd = os.open(sys.argv[1], os.O_RDONLY | os.O_DIRECTORY)
os.fstat(fd)
with os.scandir(fd) as entries:
    next(entries, None)
"""
_KILL_SECONDS = 1.0  # a process in an uninterruptible wait is not worth waiting for


def stuck_in(path: bytes, seconds: float) -> subprocess.Popen[bytes] | None:
    """Look at a directory; None if there was an answer in time, an error included.

    Returns:
        the process that got none: killed, and gone as soon as the kernel lets it go.
    """
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _LOOK, path],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        env={},
    )
    try:
        process.wait(seconds)
        return None
    except subprocess.TimeoutExpired:
        process.kill()
    with suppress(subprocess.TimeoutExpired):
        process.wait(_KILL_SECONDS)
    return process
