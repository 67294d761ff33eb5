"""What is to be done about a match: a pure function of what the list, the operator and the brake say."""

from __future__ import annotations

from scanner.model.feeds import LISTED, FeedTerms, Polarity
from scanner.model.matches import Match, Verdict

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
        match: the match to act on.
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
    return Verdict(secure=True, reason=LISTED_EXACT if match.exact else LISTED_PERCEPTUAL)


def _refusal(
    match: Match, terms: FeedTerms, securing_enabled: bool, brake_engaged: bool, exception: bool
) -> str:
    wanted = terms.quarantine_exact if match.exact else terms.quarantine_perceptual
    acting = match.category == LISTED or (
        match.category != "" and (terms.categories is None or match.category in terms.categories)
    )
    reasons = (
        (exception, FALSE_POSITIVE),
        (terms.polarity is not Polarity.ILLEGAL, BENIGN),
        (not acting, CATEGORY),
        (not securing_enabled, REPORT_ONLY),
        (not wanted, FEED_REPORTS),
        (brake_engaged, BRAKED),
    )
    return next((reason for holds, reason in reasons if holds), "")
