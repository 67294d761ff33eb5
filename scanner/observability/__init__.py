"""What hostsweep says of itself: the log's set-up and the definitions of the metrics.

The latter are loaded when they are asked for: every command has a log, few count anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scanner.observability.harmless import harmless
from scanner.observability.logging import configure_logging

if TYPE_CHECKING:
    from scanner.observability.metrics import Metrics

__all__ = ["Metrics", "configure_logging", "harmless"]


def __getattr__(name: str) -> Any:
    if name != "Metrics":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from scanner.observability.metrics import Metrics

    return Metrics
