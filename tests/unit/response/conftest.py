"""A volume with a vault beside it."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes_response import House


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House.build(tmp_path)
