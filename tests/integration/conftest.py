"""A publisher's server for the tests of fetching."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from simulators.publisher import Publisher, serving

from scanner.feeds.wire import open_session


@pytest.fixture
async def publisher() -> AsyncIterator[Publisher]:
    async with serving(Publisher()) as made:
        yield made


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with open_session() as made:
        yield made


@pytest.fixture
def staging(tmp_path: Path) -> Path:
    return tmp_path / "staged"
