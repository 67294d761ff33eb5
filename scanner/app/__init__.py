"""The composition root: the only place that builds the rooms from a configuration.

What is named here is loaded when it is asked for: the securer is built in this package too, and must not
carry the libraries of scanning in its memory.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scanner.app.app import App, ScanOutcome
    from scanner.app.importing import FeedChange

__all__ = ["App", "FeedChange", "ScanOutcome"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(
        importlib.import_module("scanner.app.importing" if name == "FeedChange" else "scanner.app.app"), name
    )
