"""The composition root: the only place that builds the rooms from a configuration.

What is named here is loaded when it is asked for: the securer is built in this package too, and must not
carry the libraries of scanning in its memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scanner.system.late import names_of

if TYPE_CHECKING:
    from scanner.app.app import App, ScanOutcome
    from scanner.app.importing import FeedChange

__all__ = ["App", "FeedChange", "ScanOutcome"]


__getattr__ = names_of(__name__, {"App": "app", "FeedChange": "importing", "ScanOutcome": "app"})
