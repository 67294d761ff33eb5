"""Records as canonical JSON and back: ASCII, sorted keys, no spaces, so equal records are equal bytes.

Digests are hexadecimal; paths are base64 (`*_base64`), since names need not be UTF-8. Whole numbers may be of
any size: a customer can give a file a modification time that no 64-bit column holds.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from scanner.model.errors import LedgerError
from scanner.model.hashes import Digests, PerceptualHash
from scanner.model.matches import Action, Case, CaseState, Match
from scanner.model.steps import Step, StepKind, StepState

Object = dict[str, Any]

# Strongest first. sha256 by rule; the others only where it was not hashed.
_KEY_KINDS = ("sha256", "sha1", "md5")


def canonical(value: object) -> str:
    """The one way a JSON value is written here. Floats that JSON can't hold are misuse."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def parse(text: str) -> Object:
    """A JSON object.

    Raises:
        LedgerError: it isn't one.
    """
    with _reading():
        found = json.loads(text)
        if not isinstance(found, dict):
            raise ValueError("not an object")
        return found


@contextmanager
def _reading() -> Iterator[None]:
    try:
        yield
    except (ValueError, KeyError, TypeError, RecursionError) as e:
        raise LedgerError(
            "a record of the ledger can't be read as what it should be",
            remedy="It was changed by something else than hostsweep, or a newer hostsweep wrote it",
        ) from e


def _text(found: Mapping[str, Any], key: str) -> str:
    value = found[key]
    if type(value) is not str:
        raise TypeError(f"{key} is no text")
    return value


def _whole(found: Mapping[str, Any], key: str) -> int:
    value = found[key]
    if type(value) is not int:
        raise TypeError(f"{key} is no whole number")
    return value


def _object(found: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = found[key]
    if not isinstance(value, dict):
        raise TypeError(f"{key} is no object")
    return value


def text_key(text: str) -> bytes:
    """A text as a column to look up by; keeps names that are no UTF-8 (surrogate escapes) apart."""
    return text.encode("utf-8", "surrogatepass")


def content_key(digests: Digests) -> tuple[str, bytes]:
    """(kind, value) that stands for the content: sha256, or the strongest exact digest; ("", b"") if none."""
    for kind in (*_KEY_KINDS, *sorted(digests.exact)):
        if kind in digests.exact:
            return kind, digests.exact[kind]
    return "", b""


def match_json(match: Match) -> Object:
    return {
        "kind": match.kind,
        "feed": match.feed,
        "entry": match.entry,
        "category": match.category,
        "distance": match.distance,
        "view": match.view,
        "quality": match.quality,
        "exact": match.exact,
        **({"value": match.value.hex()} if match.value else {}),
        **({"views": match.views} if match.views else {}),
        **match.told(),
    }


def digests_json(digests: Digests) -> Object:
    return {
        "size": digests.size,
        "media_type": digests.media_type,
        "exact": {kind: value.hex() for kind, value in digests.exact.items()},
        "perceptual": [
            {"kind": p.kind, "view": p.view, "value": p.value.hex(), "quality": p.quality}
            for p in digests.perceptual
        ],
        "problem": digests.problem,
    }


def case_json(case: Case) -> Object:
    """A case whole."""
    return {
        "id": case.id,
        "opened_ns": case.opened_ns,
        "updated_ns": case.updated_ns,
        "volume": case.volume,
        "root_base64": _base64(case.root),
        "path_base64": _base64(case.path),
        "shown_as": case.shown_as,
        "customer": case.customer,
        "size": case.size,
        "mtime_ns": case.mtime_ns,
        "digests": digests_json(case.digests),
        "match": match_json(case.match),
        "others": [match_json(m) for m in case.others],
        "action": case.action,
        "reason": case.reason,
        "state": case.state,
        "quarantine_id": case.quarantine_id,
        "note": case.note,
    }


def read_digests(found: Mapping[str, Any]) -> Digests:
    """What `digests_json` wrote.

    Raises:
        LedgerError: it isn't that.
    """
    with _reading():
        return Digests(
            size=_whole(found, "size"),
            media_type=_text(found, "media_type"),
            exact={kind: bytes.fromhex(value) for kind, value in _object(found, "exact").items()},
            perceptual=tuple(
                PerceptualHash(
                    _text(p, "kind"), _text(p, "view"), bytes.fromhex(p["value"]), _whole(p, "quality")
                )
                for p in found["perceptual"]
            ),
            problem=_text(found, "problem"),
        )


def _match(found: Any) -> Match:
    if not isinstance(found, dict):
        raise TypeError("a match is no object")
    labels = found.get("labels", [])
    if type(labels) is not list:
        raise TypeError("a match has a value of the wrong type")
    if "further" in found:
        raise TypeError("a match has a field that no record has")
    value = bytes.fromhex(found.get("value", ""))
    match = Match(**{**found, "labels": tuple(labels), "value": value})
    texts = (match.kind, match.feed, match.entry, match.category, match.view)
    texts += (match.severity, match.source, *labels)
    if not all(type(t) is str for t in texts) or type(match.exact) is not bool:
        raise TypeError("a match has a value of the wrong type")
    if not all(type(n) is int for n in (match.distance, match.quality, match.views)):
        raise TypeError("a match has a value of the wrong type")
    return match


def read_case(text: str) -> Case:
    """A case whole.

    Raises:
        LedgerError: the text isn't one.
    """
    found = parse(text)
    with _reading():
        return Case(
            id=_text(found, "id"),
            opened_ns=_whole(found, "opened_ns"),
            updated_ns=_whole(found, "updated_ns"),
            volume=_text(found, "volume"),
            root=base64.b64decode(found["root_base64"], validate=True),
            path=base64.b64decode(found["path_base64"], validate=True),
            shown_as=_text(found, "shown_as"),
            customer=_text(found, "customer"),
            size=_whole(found, "size"),
            mtime_ns=_whole(found, "mtime_ns"),
            digests=read_digests(found["digests"]),
            match=_match(found["match"]),
            others=tuple(_match(m) for m in found["others"]),
            action=Action(found["action"]),
            reason=_text(found, "reason"),
            state=CaseState(found["state"]),
            quarantine_id=_text(found, "quarantine_id"),
            note=_text(found, "note"),
        )


def step_json(step: Step) -> Object:
    """A step as it is begun."""
    return {
        "id": step.id,
        "kind": step.kind,
        "case_id": step.case_id,
        "quarantine_id": step.quarantine_id,
        "owner": step.owner,
        "started_ns": step.started_ns,
        "details": dict(step.details),
    }


def read_step(text: str) -> Step:
    """An open step.

    Raises:
        LedgerError: the text isn't one.
    """
    found = parse(text)
    with _reading():
        return Step(
            id=_text(found, "id"),
            kind=StepKind(found["kind"]),
            case_id=_text(found, "case_id"),
            quarantine_id=_text(found, "quarantine_id"),
            owner=_text(found, "owner"),
            started_ns=_whole(found, "started_ns"),
            details=_details(found["details"]),
            state=StepState(found.get("state", StepState.INTENT)),
        )


def _details(found: Any) -> dict[str, str | int | None]:
    if type(found) is not dict or not all(type(v) in (str, int, type(None)) for v in found.values()):
        raise TypeError("the details of a step have a value of the wrong type")
    return found


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")
