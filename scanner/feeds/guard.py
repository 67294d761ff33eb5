"""Whether a list may take the place of the one in use: a pure function over figures of both.

A signature says who made a list, not that it is right. Each check is for one way in which lists have been
wrong: cut off, another list, an exporter's constant in every record, stock pictures of a web framework, the
    wrong
file altogether. What is found is told with figures, never with a value of the list.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from scanner.model.errors import FeedRefusedError

MIN_SIZE, MAX_SIZE, SHRINK, GROWTH = "min_entries", "max_entries", "shrink", "growth"
MALFORMED, REPEATS, BENIGN, VETOES, CANARY = "malformed", "repeats", "benign", "vetoes", "canary"

# Below this many hashes a list may grow as it likes: one that begins with ten grows tenfold in a week.
_SMALL = 10_000
# Known-benign entries that are no reason to refuse a small list: at most this share of it, and this many.
_FEW_SHARE, _FEW = 0.02, 20
# A popular picture is listed in many encodings, which share a perceptual hash; the more, the larger the list.
_REPEATS_SHARE = 0.001


@dataclass(frozen=True, slots=True)
class Terms:
    """What a list must be like; shares are 0-1.

    Attributes:
        min_entries, max_entries: bounds of its size.
        max_shrink: the share of its entries or hashes that it may lose from one release to the next.
        max_growth: how many times the hashes of the one in use it may have.
        max_malformed: share of its records.
        max_repeats: exact digests that one perceptual value may stand on; 0.1 % of all of them if that is
            more.
        max_benign: share of its entries that may equal known-benign content; of a benign list, the share of
            another list's entries that it may veto.
    """

    min_entries: int = 1
    max_entries: int = 200_000_000
    max_shrink: float = 0.9
    max_growth: float = 10.0
    max_malformed: float = 0.01
    max_repeats: int = 10
    max_benign: float = 0.001


@dataclass(frozen=True, slots=True)
class Figures:
    """What a list is like.

    Attributes:
        entries: of the list.
        hashes: values by kind.
        malformed, records: records that were left out, and all there were in what was read.
        first_malformed: where the first of them is and what is wrong with it.
        digests: exact digests of the kind that has most.
        repeats: by perceptual kind the most exact digests that one value stands on.
        benign: entries that equal known-benign content, by what that is.
        vetoes: of a benign list, how many entries of other lists it has, and how many these have, by feed.
        canaries_missing: kinds of the canary's digests that are not in the list.
    """

    entries: int
    hashes: Mapping[str, int] = field(default_factory=dict)
    malformed: int = 0
    records: int = 0
    first_malformed: str = ""
    digests: int = 0
    repeats: Mapping[str, int] = field(default_factory=dict)
    benign: Mapping[str, int] = field(default_factory=dict)
    vetoes: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    canaries_missing: tuple[str, ...] = ()

    @property
    def values(self) -> int:
        return sum(self.hashes.values())


@dataclass(frozen=True, slots=True)
class Finding:
    """One reason not to use a list.

    Attributes:
        check: its name, as in metrics and in the documentation.
        what: words for people.
        figures: the numbers behind them.
    """

    check: str
    what: str
    figures: Mapping[str, int] = field(default_factory=dict)


class FeedGuardError(FeedRefusedError):
    """A list is not as it should be. `findings` says in which ways; the last good one stays in use."""

    def __init__(self, feed: str, findings: tuple[Finding, ...]) -> None:
        super().__init__(
            "; ".join(f.what for f in findings),
            where=f"feed {feed}",
            remedy="The last good list stays in use. Ask the publisher; if it is right, "
            f"`hostsweep feed sync {feed} --accept` takes it this once",
        )
        self.findings = findings

    @property
    def reasons(self) -> tuple[str, ...]:
        """The names of the checks, each once."""
        return tuple(dict.fromkeys(f.check for f in self.findings))


def judge(new: Figures, old: Figures | None, terms: Terms) -> tuple[Finding, ...]:
    """Why a list should not be used; nothing if it may.

    Args:
        old: of the list in use, None if there is none.
    """
    return tuple(
        [
            *_size(new, terms),
            *(_against(new, old, terms) if old is not None else ()),
            *_malformed(new, terms),
            *_repeats(new, terms),
            *_benign(new, terms),
            *_vetoes(new, terms),
            *_canary(new),
        ]
    )


def _size(new: Figures, terms: Terms) -> Iterator[Finding]:
    figures = {"entries": new.entries}
    if new.entries < terms.min_entries:
        what = f"it has {new.entries:,} entries, at least {terms.min_entries:,} are wanted"
        yield Finding(MIN_SIZE, what, figures)
    if new.entries > terms.max_entries:
        what = f"it has {new.entries:,} entries, at most {terms.max_entries:,} are wanted"
        yield Finding(MAX_SIZE, what, figures)


def _against(new: Figures, old: Figures, terms: Terms) -> Iterator[Finding]:
    for what, before, after in (
        ("entries", old.entries, new.entries),
        ("hashes", old.values, new.values),
    ):
        figures = {f"{what}_before": before, f"{what}_after": after}
        told = f"the new list has {after:,} {what} where the one in use has {before:,}"
        if before - after > terms.max_shrink * before:
            yield Finding(SHRINK, f"{told}: it lost more than {terms.max_shrink:.0%}", figures)
        elif after > _SMALL and after > terms.max_growth * before:
            yield Finding(GROWTH, f"{told}: it grew more than {terms.max_growth:g} times", figures)


def _malformed(new: Figures, terms: Terms) -> Iterator[Finding]:
    if new.malformed <= terms.max_malformed * new.records:
        return
    what = (
        f"{new.malformed:,} of {new.records:,} records are malformed, "
        f"more than {terms.max_malformed:.2%}; the first: {new.first_malformed}"
    )
    yield Finding(MALFORMED, what, {"malformed": new.malformed, "records": new.records})


def _repeats(new: Figures, terms: Terms) -> Iterator[Finding]:
    allowed = max(terms.max_repeats, int(new.digests * _REPEATS_SHARE))
    for kind, most in sorted(new.repeats.items()):
        if most > allowed:
            what = f"one {kind} value stands on {most:,} different digests, at most {allowed:,} are plausible"
            yield Finding(REPEATS, what, {"digests": most})


def benign_allowed(entries: int, max_benign: float) -> int:
    """How many of a list's entries may equal known-benign content: one, and more the larger it is."""
    return max(1, min(_FEW, int(entries * _FEW_SHARE)), int(entries * max_benign))


def _benign(new: Figures, terms: Terms) -> Iterator[Finding]:
    found = sum(new.benign.values())
    allowed = benign_allowed(new.entries, terms.max_benign)
    if found <= allowed:
        return
    parts = ", ".join(f"{name.replace('_', ' ')}: {n:,}" for name, n in sorted(new.benign.items()) if n)
    what = f"{found:,} of its entries are harmless content ({parts}), at most {allowed:,} are plausible"
    yield Finding(BENIGN, what, dict(new.benign))


def _vetoes(new: Figures, terms: Terms) -> Iterator[Finding]:
    for feed, (found, entries) in sorted(new.vetoes.items()):
        allowed = benign_allowed(entries, terms.max_benign)
        if found > allowed:
            of = f"{found:,} of the {entries:,} entries of {feed}"
            what = f"it would veto {of}, at most {allowed:,} are plausible"
            yield Finding(VETOES, what, {"entries": found})


def _canary(new: Figures) -> Iterator[Finding]:
    if new.canaries_missing:
        kinds = ", ".join(new.canaries_missing)
        what = f"the canary agreed on with the publisher is not in it ({kinds}): it may be another list"
        yield Finding(CANARY, what, {"missing": len(new.canaries_missing)})
