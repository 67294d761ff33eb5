"""Small JSON files of our own, which say the version they are of."""

from __future__ import annotations

import json
from typing import Any


def versioned(data: bytes, version: int) -> dict[str, Any]:
    """The object in such a file.

    Raises:
        ValueError: it is damaged, or of another version.
    """
    try:
        found = json.loads(data)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(found, dict) or found.get("version") != version:
        raise ValueError(f"expected version {version}")
    return found
