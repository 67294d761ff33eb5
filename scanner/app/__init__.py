"""The composition root: the only place that builds the rooms from a configuration."""

from scanner.app.app import App, ScanOutcome
from scanner.app.lists import FeedChange

__all__ = ["App", "FeedChange", "ScanOutcome"]
