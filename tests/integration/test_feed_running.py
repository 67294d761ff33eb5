"""A process for feeds comes to its end, whatever it does to the pipes that it talks by."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from scanner.model.errors import FeedProcessError
from scanner.pipeline.feed_running import Job, run
from scanner.pipeline.feed_workplace import Workplace

FLOOD = "import os\nwhile True: os.write(1, b'[' * 65536)\n"


async def test_one_that_floods_us_and_hears_nothing_is_ended_in_time(tmp_path: Path) -> None:
    """Its answer stays unread as long as its order is not taken, so what it says fills all buffers."""
    (tmp_path / "flood.py").write_text(FLOOD)
    job = Job("import_process", {"much": "x" * (1 << 20)}, 1 << 30, 1 << 20, (0,))
    with Workplace(tmp_path, "work", None) as place:
        async with asyncio.timeout(20):
            with pytest.raises(FeedProcessError, match="longer than 1 s"):
                await run(job, place, (sys.executable, str(tmp_path / "flood.py")), None, 1.0)
