"""The HTTP surface: metrics, health, readiness, and what operators may ask for from elsewhere."""

from scanner.http.limits import Limits, Watcher
from scanner.http.readiness import Check, Readiness
from scanner.http.server import Private, Wakes, build_application, start

__all__ = ["Check", "Limits", "Private", "Readiness", "Wakes", "Watcher", "build_application", "start"]
