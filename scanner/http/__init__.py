"""The HTTP surface: metrics, health, readiness."""

from scanner.http.connections import Limits
from scanner.http.readiness import Check, Readiness
from scanner.http.server import build_application, start

__all__ = ["Check", "Limits", "Readiness", "build_application", "start"]
