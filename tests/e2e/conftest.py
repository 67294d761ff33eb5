"""A host for each test."""

from __future__ import annotations

from pathlib import Path

import pytest
from e2e_host import Host


@pytest.fixture
def host(tmp_path: Path) -> Host:
    made = Host(tmp_path)
    made.tree.mkdir()
    return made
