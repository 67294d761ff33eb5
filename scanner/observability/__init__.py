"""What hostsweep says of itself: the log's set-up and the definitions of the metrics."""

from scanner.observability.harmless import harmless
from scanner.observability.logging import configure_logging
from scanner.observability.metrics import Metrics

__all__ = ["Metrics", "configure_logging", "harmless"]
