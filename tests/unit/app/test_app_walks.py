"""What is kept of walks goes when no scan goes by it any more."""

from __future__ import annotations

import os
import time
from pathlib import Path

from scanner.app.walks import sweep_walks
from tests.scanning import app_of


def test_walks_that_are_too_old_to_go_by_are_swept(tmp_path: Path) -> None:
    app = app_of(tmp_path, (), perceptual=())
    app.state.prepare()
    app.state.walks.mkdir()
    week = 7 * 86_400
    for name, age in (("kept", week - 600), ("swept", week + 600), ("swept.new", week + 600)):
        (app.state.walks / name).touch()
        then = time.time() - age
        os.utime(app.state.walks / name, (then, then))
    sweep_walks(app.tools)
    assert [p.name for p in app.state.walks.iterdir()] == ["kept"]
