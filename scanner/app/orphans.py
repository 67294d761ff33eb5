"""Cases and the lists in use: which of them still say what a case was opened for."""

from __future__ import annotations

from collections.abc import Iterator

from scanner.app.app import App
from scanner.ledger import Ledger
from scanner.model.matches import Case, CaseState
from scanner.model.ports import Matcher

_PAGE = 1000  # cases read at a time


def supported_by(matcher: Matcher, case: Case) -> tuple[str, ...]:
    """Feeds of which some entry acts on the case's content today, the strongest first."""
    return tuple(dict.fromkeys(match.feed for match in matcher.match(case.digests)))


def orphaned(
    app: App, ledger: Ledger, *, state: CaseState | None, unsecured: bool, limit: int
) -> Iterator[Case]:
    """Cases that no list in use supports any more, newest first: their entries or feeds were taken away, are
    suppressed, or are known to be harmless by now.

    Raises:
        SnapshotError: a list on disk is damaged.
    """
    index = app.keeper.open().index
    offset = found = 0
    while page := ledger.list(state=state, unsecured=unsecured, limit=_PAGE, offset=offset):
        offset += len(page)
        for case in page:
            if found == limit:
                return
            if not supported_by(index, case):
                found += 1
                yield case
