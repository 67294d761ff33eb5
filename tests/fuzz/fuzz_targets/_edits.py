"""Edits of a JSON document: what fuzzing of text alone would need ages for, a line does."""

from __future__ import annotations

import json
from typing import Any


def edited(document: Any, edits: bytes) -> Any:
    """A document after a line for each edit: `a.0.b=JSON` sets a value, `a.0.b` removes it. What is no JSON
    is set as text; a place that isn't there leaves all as it is."""
    for line in edits.decode("utf-8", "replace").split("\n"):
        place, equals, text = line.partition("=")
        *parents, last = place.split(".")
        try:
            value = json.loads(text) if equals else None
        except (ValueError, RecursionError):
            value = text
        try:
            at = document
            for step in parents:
                at = at[_key(at, step)]
            if equals:
                at[_key(at, last)] = value
            else:
                del at[_key(at, last)]
        except (KeyError, IndexError, TypeError, ValueError):
            continue
    return document


def _key(at: Any, step: str) -> str | int:
    return int(step) if isinstance(at, list) else step
