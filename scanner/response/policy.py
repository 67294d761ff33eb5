"""What is to be done about a match: a pure function of what the list, the operator and the brake say."""

from __future__ import annotations

from collections.abc import Sequence

from scanner.model.feeds import ALL_REPORTED, LISTED, Band, FeedTerms, Polarity
from scanner.model.hashes import KINDS
from scanner.model.matches import Match, Verdict
from scanner.model.views import WORDS, words

LISTED_EXACT = "listed by an exact hash"
LISTED_PERCEPTUAL = "listed by a perceptual hash"
FALSE_POSITIVE = "an earlier case with this content was a false positive"
BENIGN = "the feed lists harmless files"
CATEGORY = "the entry's category does not act"
REPORT_ONLY = "this scan only reports"
FEED_REPORTS = "the feed's matches of this sort are only reported"
BRAKED = "the brake is engaged: more hits than plausible"


def verdict(
    match: Match, terms: FeedTerms, *, securing_enabled: bool, brake_engaged: bool, exception: bool
) -> Verdict:
    """Whether a matched file is to be secured.

    Reasons that hold for good come first, passing ones (the brake) last, so that the reason on record is the
    one that would still stand tomorrow.

    Args:
        match: the match to act on, in one of its views: `further` ones are the caller's to ask about.
        terms: what the operator says of the match's feed.
        securing_enabled: false where hits are only reported.
        brake_engaged: false unless hits exceeded what is plausible.
        exception: somebody resolved a case with this content as a false positive.

    Raises:
        RuntimeError: the terms are another feed's.
    """
    if terms.name != match.feed:
        raise RuntimeError(f"a match of feed {match.feed!r} judged by the terms of {terms.name!r}")
    refusal = _refusal(match, terms, securing_enabled, brake_engaged, exception)
    if refusal:
        return Verdict(secure=False, reason=refusal)
    return Verdict(secure=True, reason=LISTED_EXACT if match.exact else _secured(match, terms.bands))


def _refusal(
    match: Match, terms: FeedTerms, securing_enabled: bool, brake_engaged: bool, exception: bool
) -> str:
    acting = match.category == LISTED or (
        match.category != "" and (terms.categories is None or match.category in terms.categories)
    )
    reasons = (
        (exception, FALSE_POSITIVE),
        (terms.polarity is not Polarity.ILLEGAL, BENIGN),
        (not acting, CATEGORY),
        (not securing_enabled, REPORT_ONLY),
    )
    for holds, reason in reasons:
        if holds:
            return reason
    if match.exact:
        only_reported = "" if terms.quarantine_exact else FEED_REPORTS
    else:
        only_reported = _only_reported(match, terms.bands)
    return only_reported or (BRAKED if brake_engaged else "")


def band_of(match: Match, bands: Sequence[Band]) -> Band | None:
    """The band that decides about a match by a perceptual hash: the first that holds; None beyond all."""
    return next((band for band in bands if not _missed(match, band)), None)


def _missed(match: Match, band: Band) -> str:
    """What of a match is outside of a band; "" if nothing is."""
    if band.kind not in ("", match.kind):
        return f"kind {match.kind}: the band is for {band.kind}"
    if match.distance > (limit := band.limit(_bits(match))):
        return f"distance {match.distance}: beyond {limit}"
    if match.quality < band.min_quality:
        return f"quality {match.quality}: below {band.min_quality}"
    if band.views is not None and not words(match.view) <= band.views:
        return f"view {match.view}: not among {', '.join(w for w in WORDS if w in band.views)}"
    return ""


def _bits(match: Match) -> int:
    if match.value:
        return 8 * len(match.value)
    return 8 * KINDS[match.kind].size if match.kind in KINDS else 0


def _secured(match: Match, bands: Sequence[Band]) -> str:
    band = band_of(match, bands)
    if band is None or band.max_distance is None:
        return LISTED_PERCEPTUAL
    return f"{LISTED_PERCEPTUAL}: distance {match.distance}, within {band.limit(_bits(match))}"


def _only_reported(match: Match, bands: Sequence[Band]) -> str:
    """Why a match by a perceptual hash is only reported; "" if it is not."""
    decides = band_of(match, bands)
    if decides is not None and decides.secure:
        return ""
    if tuple(bands) == ALL_REPORTED:
        return FEED_REPORTS
    before = bands if decides is None else bands[: bands.index(decides)]
    # The nearest that it came to being secured: a band of its own kind says more than one of another.
    missed = [_missed(match, b) for b in sorted(before, key=lambda b: b.kind not in ("", match.kind))
              if b.secure]  # fmt: skip
    if missed:
        return f"{missed[0]}, only reported"
    if decides is None:
        return f"distance {match.distance}: beyond all bands, only reported"
    return f"distance {match.distance}: within {decides.limit(_bits(match))}, only reported"
