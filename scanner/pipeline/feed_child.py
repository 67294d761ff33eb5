"""The frame of the processes that fetch and read lists: one order in, one answer out."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import Any

from scanner.model.errors import ScannerError


def answer_orders(work: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Read the one order from stdin, do it, and answer on stdout. Ends the process."""
    order = json.load(sys.stdin)
    try:
        answer: dict[str, Any] = {"ok": work(order)}
    except ScannerError as e:
        answer = _error(type(e).__name__, e.what, e.where, e.remedy)
    except MemoryError:
        answer = _error(
            "FeedRefusedError",
            "it needs more memory than it may have",
            str(order.get("source", "")),
            "If the list is right, raise sync.memory",
        )
    json.dump(answer, sys.stdout)
    sys.stdout.flush()
    # Nothing is left to be tidied up, and a large index takes long to be given back piece by piece.
    os._exit(0)


def _error(kind: str, what: str, where: str, remedy: str) -> dict[str, Any]:
    return {"error": {"kind": kind, "what": what, "where": where, "remedy": remedy}}
