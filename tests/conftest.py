"""Shared by all tests: a clean environment, and what this machine can't do, said aloud."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# A busy machine must not fail a test: no property is about time.
settings.register_profile("hostsweep", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("hostsweep")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test sees the caller's state directory, service manager or proxy."""
    for name in list(os.environ):
        if name.startswith(("HOSTSWEEP_", "NOTIFY_SOCKET", "WATCHDOG_", "LISTEN_", "XDG_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "xdg-state"))


def pytest_report_header() -> list[str]:
    return [f"hostsweep: running as uid {os.getuid()}"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.getuid() == 0:
        return
    for item in items:
        if item.get_closest_marker("root"):
            item.add_marker(pytest.mark.skip(reason="needs root: drops privileges, mounts or makes devices"))
