"""How a match is told: in JSON and in words."""

from __future__ import annotations

from typing import Any

from scanner.model.matches import Case, Match

ALONE = "a perceptual hash alone: it looks like a listed picture, and no list has a digest of the file itself"


def match_json(match: Match) -> dict[str, Any]:
    """A match as the contract has it."""
    return {
        "kind": match.kind,
        "feed": match.feed,
        "entry": match.entry,
        "distance": match.distance,
        "category": match.category,
        "view": match.view,
        "quality": match.quality,
        "value": match.value.hex() or None,
        "views": match.views,
        **match.told(),
    }


def how(match: Match) -> str:
    """By what it matched: ``sha256``, or ``pdq, distance 12, full, quality 97``."""
    if match.exact:
        return match.kind
    return f"{match.kind}, distance {match.distance}, {match.view}, quality {match.quality}"


def evidence(case: Case) -> str:
    """What a case stands on, in words."""
    match = case.match
    if match.exact:
        return f"{match.kind}: equal digest"
    near = f"{match.kind}: distance {match.distance} bits, view {match.view}, quality {match.quality}"
    further = match.views - 1
    return near + (f"; {further} further view{'s' * (further > 1)} near it" if further > 0 else "")
