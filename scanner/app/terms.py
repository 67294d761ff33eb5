"""What the operator says of a feed, as the index and the policy want to hear it."""

from __future__ import annotations

from scanner.config import BandConfig, FeedConfig
from scanner.model.feeds import Band, FeedTerms, Polarity


def terms_of(feed: FeedConfig) -> FeedTerms:
    """What the operator says of a feed."""
    return FeedTerms(
        name=feed.name,
        polarity=Polarity(feed.polarity),
        categories=None if feed.categories is None else frozenset(feed.categories),
        quarantine_exact=feed.on_match.exact == "quarantine",
        bands=tuple(_band(band) for band in feed.on_match.perceptual),
    )


def _band(band: BandConfig) -> Band:
    return Band(
        secure=band.action == "quarantine",
        max_distance=band.max_distance,
        kind=band.kind or "",
        min_quality=band.min_quality,
        views=None if band.views is None else frozenset(band.views),
    )
