"""What must hold between the bands of distances in which a feed's perceptual matches are acted on."""

from __future__ import annotations

from collections.abc import Iterator

from scanner.config.models import BandConfig, Config, FeedConfig, Place
from scanner.config.problems import Problem
from scanner.model.feeds import BAND_BITS
from scanner.model.hashes import KINDS
from scanner.model.views import FAMILIES


def broken_bands(place: Place, feed: FeedConfig, config: Config) -> Iterator[Problem]:
    """Everything that is wrong with the bands of a feed, a problem a band.

    What is left is monotone: a match that is nearer than one which is secured, and of no less quality, is
    secured as well where both are of the same kind and view.
    """
    place = (*place, "on_match", "perceptual")
    bands = feed.on_match.perceptual
    for n, band in enumerate(bands):
        text = next(
            (text for earlier, other in enumerate(bands[:n]) if (text := _against(earlier, other, band))), ""
        )
        if text:
            yield Problem((*place, n), text)
        elif band.views is not None and not set(FAMILIES) & set(band.views):
            # Every view shows some part of the picture, so this would hold for none.
            yield Problem((*place, n, "views"), f"expected at least one of {', '.join(FAMILIES)} among them")
        elif text := _too_far(band, config):
            yield Problem((*place, n, "max_distance"), text)


def _against(n: int, earlier: BandConfig, band: BandConfig) -> str:
    """Why a band must not come after an earlier one, the feed's nth."""
    reach = "" if earlier.max_distance is None else f" (up to {earlier.max_distance})"
    if _covers(earlier, band):
        return (
            f"this band is never reached: band {n + 1}{reach} decides before it; write bands in ascending "
            "order of max_distance"
        )
    if earlier.action == "report" and band.action == "quarantine" and _meet(earlier, band):
        if any(_limit(earlier, kind) < _limit(band, kind) for kind in _kinds(earlier) & _kinds(band)):
            return (
                f"this would secure matches that are further than those which band {n + 1}{reach} only "
                "reports; the nearer one is the surer"
            )
        if earlier.min_quality > band.min_quality:
            return (
                f"this would secure matches of less quality than those which band {n + 1} only reports "
                f"(min_quality {earlier.min_quality}); the better one is the surer"
            )
    return ""


def _covers(earlier: BandConfig, band: BandConfig) -> bool:
    """Whether an earlier band decides about everything of a later one."""
    return (
        (earlier.kind is None or earlier.kind == band.kind)
        and (earlier.views is None or (band.views is not None and set(band.views) <= set(earlier.views)))
        and earlier.min_quality <= band.min_quality
        and all(_limit(earlier, kind) >= _limit(band, kind) for kind in _kinds(band))
    )


def _meet(one: BandConfig, other: BandConfig) -> bool:
    """Whether there are kinds and views that both speak of, distances aside."""
    families = set(FAMILIES)
    for band in (one, other):
        families &= set(FAMILIES if band.views is None else band.views)
    return bool(families) and bool(_kinds(one) & _kinds(other))


def _kinds(band: BandConfig) -> set[str]:
    """The kinds that a band speaks of; those of plug-ins only where it names one."""
    return {k.name for k in KINDS.values() if not k.exact} if band.kind is None else {band.kind}


def _limit(band: BandConfig, kind: str) -> float:
    """The largest distance at which a band holds for a kind."""
    if band.max_distance is None:
        return float("inf")
    if band.kind is not None:
        return band.max_distance
    bits = 8 * KINDS[kind].size if kind in KINDS else 0  # a plug-in's: only its package knows
    return band.max_distance * bits // BAND_BITS


def _too_far(band: BandConfig, config: Config) -> str:
    """Why a band reaches further than there are matches."""
    if band.max_distance is None:
        return ""
    limits = {kind: limit.max_distance for kind, limit in config.matching.by_kind().items()}
    if band.kind is not None:
        limits = {kind: limit for kind, limit in limits.items() if kind == band.kind}
    if not limits or any(_limit(band, kind) <= limit for kind, limit in limits.items()):
        return ""
    furthest = max(limits, key=lambda kind: limits[kind])
    return (
        f"expected at most {limits[furthest]}, which is matching.{furthest}.max_distance: nothing further is "
        f"a match, found {band.max_distance}"
    )
