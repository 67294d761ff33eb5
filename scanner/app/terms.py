"""What the operator says of a feed, as the index and the policy want to hear it."""

from __future__ import annotations

from scanner.config import FeedConfig
from scanner.model.feeds import FeedTerms, Polarity


def terms_of(feed: FeedConfig) -> FeedTerms:
    """What the operator says of a feed."""
    return FeedTerms(
        name=feed.name,
        polarity=Polarity(feed.polarity),
        categories=None if feed.categories is None else frozenset(feed.categories),
        quarantine_exact=feed.on_match.exact == "quarantine",
        quarantine_perceptual=feed.on_match.perceptual == "quarantine",
    )
