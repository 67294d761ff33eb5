"""What hostsweep says of itself: the log's set-up and the definitions of the metrics.

The latter are loaded when they are asked for: every command has a log, few count anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scanner.observability.harmless import harmless
from scanner.observability.logging import configure_logging
from scanner.system.late import names_of

if TYPE_CHECKING:
    from scanner.observability.metrics import Metrics

__all__ = ["Metrics", "configure_logging", "harmless"]


__getattr__ = names_of(__name__, {"Metrics": "metrics"})
