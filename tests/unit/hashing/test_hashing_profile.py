"""Rows of the catalog that were made with other views are not believed."""

from __future__ import annotations

from scanner.app.tools import profile
from scanner.config import Config


def of(*views: str) -> bytes:
    return profile(Config.model_validate({"hashing": {"views": views}}))


def test_files_are_hashed_anew_when_the_views_change_and_not_when_their_order_does() -> None:
    assert len({of("whole"), of("whole", "turned"), of("whole", "box"), of("whole", "turned", "box")}) == 4
    assert of("whole", "turned", "box") == of("box", "whole", "turned") == profile(Config())
