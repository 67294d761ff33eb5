"""Cases as they are found and compared: by id, by content, and what is new about one that is met again."""

from __future__ import annotations

from dataclasses import replace

from scanner.ledger import codec, sql
from scanner.ledger.database import Database
from scanner.model.errors import LedgerError, NotFoundError
from scanner.model.matches import Action, Case, Match

MIN_PREFIX = 6  # characters; fewer hit too many cases, since ids begin with the time
_CANDIDATES = 10  # shown at most when a prefix is ambiguous


def by_id(database: Database, case_id: str) -> Case:
    """The case with just this id.

    Raises:
        NotFoundError: there is none.
    """
    text = database.scalar(sql.CASE, (case_id,)) if case_id.isascii() else None
    if text is None:
        raise NotFoundError("there is no such case", where=f"case {ascii(case_id)[1:-1]}")
    return codec.read_case(text)


def by_prefix(database: Database, text: str) -> Case:
    """The case with this id, or the only one whose id begins so.

    Raises:
        NotFoundError: there is none, there are several, or the prefix is too short.
    """
    where = f"case {ascii(text)[1:-1]}"
    if not text.isascii():
        raise NotFoundError("there is no such case", where=where)
    whole = database.scalar(sql.CASE, (text,))
    if whole is not None:
        return codec.read_case(whole)
    if len(text) < MIN_PREFIX:
        raise NotFoundError(
            "there is no such case", where=where, remedy=f"Give {MIN_PREFIX} characters or more"
        )
    rows = database.execute(sql.CASES_BY_PREFIX, {"prefix": text, "limit": _CANDIDATES + 1})
    ids = [row[0] for row in rows]
    if not ids:
        raise NotFoundError("there is no such case", where=where)
    if len(ids) > 1:
        shown = ", ".join(ids[:_CANDIDATES]) + (", …" if len(ids) > _CANDIDATES else "")
        raise NotFoundError(f"several cases begin so: {shown}", where=where, remedy="Give more of the id")
    return by_id(database, ids[0])


def of_content(database: Database, found: Case) -> Case | None:
    """The case of the same content at the same path of the same volume."""
    kind, value = codec.content_key(found.digests)
    values = {
        "volume": codec.text_key(found.volume),
        "path": found.path,
        "digest_kind": kind,
        "digest": value,
    }
    text = database.scalar(sql.CASE_OF_CONTENT, values)
    return None if text is None else codec.read_case(text)


def news(known: Case, found: Case) -> codec.Object:
    """The fields that are new about a case whose file was met again; empty when a scan only repeats itself.

    Left alone: digests, size and times (as first met), state and note (a person's decision), and why a
    file could not be secured while it still can't: that is told by the action that follows.
    """
    fresh: codec.Object = {}
    if (found.root, found.shown_as, found.customer) != (known.root, known.shown_as, known.customer):
        place = codec.case_json(found)
        fresh |= {name: place[name] for name in ("root_base64", "shown_as", "customer")}
    if _reasons(found) != _reasons(known):
        fresh["match"] = codec.match_json(found.match)
        fresh["others"] = [codec.match_json(m) for m in found.others]
    acted = found.action != known.action
    if acted or (found.action is not Action.FAILED and found.reason != known.reason):
        fresh |= {"action": found.action, "reason": found.reason}
    if found.quarantine_id and found.quarantine_id != known.quarantine_id:
        fresh["quarantine_id"] = found.quarantine_id
    return fresh


def action_news(known: Case, action: Action, reason: str, quarantine_id: str) -> codec.Object:
    """The fields to change for an action; empty when it is on record already."""
    kept = quarantine_id or known.quarantine_id
    if (known.action, known.reason, known.quarantine_id) == (action, reason, kept):
        return {}
    return {"action": action, "reason": reason, "quarantine_id": kept}


def need_exact(case_id: str) -> LedgerError:
    """For an exception to content that has no exact digest to know it by."""
    return LedgerError(
        "an exception needs an exact digest, and none was hashed",
        where=f"case {case_id}",
        remedy="Have sha256 among hashing.exact and scan again",
    )


def _reasons(case: Case) -> tuple[Match, frozenset[Match]]:
    return _identity(case.match), frozenset(_identity(m) for m in case.others)


def _identity(match: Match) -> Match:
    """A match without the place of its entry in a list: that moves with every release of the list."""
    return replace(match, entry="#") if match.entry.startswith("#") else match
