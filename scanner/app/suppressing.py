"""Entries of a list that don't act on this host for a while, by a person's decision: `hostsweep feed
suppress`.

The feed's own copy stays as the publisher made it. What is suppressed stands in `suppressions.json` in the
state directory, with who, when, why and until when; the ledger keeps the decision for good.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from scanner.app.alone import only_one
from scanner.config.units import Expected, parse_duration
from scanner.index import Snapshot, entries_of_keys, entry_keys
from scanner.model.errors import ConfigError, NotFoundError, StorageError
from scanner.system.durable import replace_file

_VERSION = 1  # of the form on disk
_YEARS = 5
LONGEST_NS = (_YEARS * 365 + 1) * 86_400 * 10**9
"""Nanoseconds: what is wrong for longer belongs to the publisher."""
_MAX_NOTE = 1000  # characters
_MAX_FILE = 16 << 20  # bytes: some ten thousand decisions
_PLACE = re.compile(r"#([1-9][0-9]{0,9})")


@dataclass(frozen=True, slots=True)
class Suppression:
    """One decision.

    Attributes:
        feed, entry: which entry of which feed; as in a case's match.
        until_ns, since_ns: UTC, nanoseconds since 1970; it ends by itself.
        who, note: who decided, and why.
        keys: where the list has no ids of its own, the entry's values as the snapshot keeps them, by kind in
            hexadecimal: its place in the list moves with every release.
    """

    feed: str
    entry: str
    until_ns: int
    since_ns: int
    who: str
    note: str
    keys: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def entries(self, snapshot: Snapshot) -> frozenset[str]:
        """Ids of the entries of a list that it speaks of."""
        if not self.keys:
            return frozenset({self.entry})
        keys = {kind: [bytes.fromhex(text) for text in values] for kind, values in self.keys.items()}
        return frozenset(f"#{number + 1}" for number in entries_of_keys(snapshot, keys))


class Suppressions:
    """All of them, in one file that is written whole; any process may read it at any time.

    Raises (all methods):
        StorageError: the file can't be read or written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def all(self) -> tuple[Suppression, ...]:
        """Those on file, ended or not, in the order of their making."""
        try:
            with self._path.open("rb") as file:
                data = file.read(_MAX_FILE + 1)
        except FileNotFoundError:
            return ()
        except OSError as e:
            raise self._unusable(e.strerror or "it can't be read") from e
        try:
            return _parsed(data)
        except (ValueError, TypeError, KeyError, RecursionError) as e:
            raise self._unusable("it is damaged") from e

    def active(self, now_ns: int) -> tuple[Suppression, ...]:
        """Those that hold now."""
        return tuple(s for s in self.all() if s.until_ns > now_ns)

    def add(self, new: Suppression, now_ns: int) -> None:
        """Put one on file, in place of an earlier one of the same entry. What has ended is dropped.

        Raises:
            BusyError: another process is writing at the moment.
        """
        self._change((new.feed, new.entry), now_ns, new)

    def lift(self, feed: str, entry: str, now_ns: int) -> Suppression:
        """Take one back; returns it.

        Raises:
            NotFoundError: there is none.
            BusyError: as `add`.
        """
        found = [s for s in self.active(now_ns) if (s.feed, s.entry) == (feed, entry)]
        if not found:
            raise NotFoundError("this entry is not suppressed", where=f"feed {feed}")
        self._change((feed, entry), now_ns, None)
        return found[0]

    def _change(self, gone: tuple[str, str], now_ns: int, new: Suppression | None) -> None:
        lock = self._path.with_name(f"{self._path.name}.lock")
        with only_one(lock, "suppression", "Wait until it is done"):
            kept = [s for s in self.active(now_ns) if (s.feed, s.entry) != gone]
            self._write([*kept, *([new] if new is not None else [])])

    def _write(self, items: Sequence[Suppression]) -> None:
        said = {"version": _VERSION, "suppressed": [asdict(s) for s in items]}
        try:
            replace_file(self._path, json.dumps(said, indent=1).encode("ascii") + b"\n")
        except OSError as e:
            raise self._unusable(e.strerror or "it can't be written") from e

    def _unusable(self, why: str) -> StorageError:
        return StorageError(
            f"what is suppressed can't be told: {why}",
            where=str(self._path),
            remedy="Mend the file, or remove it: then every entry acts again",
        )


def _parsed(data: bytes) -> tuple[Suppression, ...]:
    if len(data) > _MAX_FILE:
        raise ValueError("too large")
    found = json.loads(data)
    if found["version"] != _VERSION:
        raise ValueError("another version")
    items = tuple(Suppression(**item) for item in found["suppressed"])
    for item in items:
        texts = (item.feed, item.entry, item.who, item.note)
        if not all(isinstance(t, str) for t in texts):
            raise ValueError("no text")
        for at_ns in (item.until_ns, item.since_ns):
            if type(at_ns) is not int or not 0 <= at_ns < 1 << 63:
                raise ValueError("no time")
        if not isinstance(item.keys, dict):
            raise ValueError("no hashes by kind")
        for values in item.keys.values():
            for text in values:
                bytes.fromhex(text)
    return items


def made(snapshot: Snapshot | None, wanted: Suppression) -> Suppression:
    """The suppression as it goes on file.

    Args:
        snapshot: the feed's list in use.

    Raises:
        NotFoundError: the list has no such entry.
        ConfigError: it is to hold for ever, was over before it began, or says nothing.
    """
    if not wanted.note.strip() or len(wanted.note) > _MAX_NOTE:
        raise ConfigError(f"expected a reason of 1 to {_MAX_NOTE} characters", where="--note")
    if wanted.until_ns <= wanted.since_ns:
        raise ConfigError("expected a time to come", where="--until")
    if wanted.until_ns - wanted.since_ns > LONGEST_NS:
        raise ConfigError(
            f"expected a time within {_YEARS} years",
            where="--until",
            remedy="Have the publisher take the entry off the list, or resolve the case as false-positive",
        )
    place = _PLACE.fullmatch(wanted.entry)
    missing = NotFoundError(
        "the list in use has no such entry",
        where=f"feed {wanted.feed}",
        remedy="`hostsweep hits show ID` names the entry of a case",
    )
    if snapshot is None:
        raise missing
    if snapshot.has_entry(wanted.entry):
        return wanted
    keys = entry_keys(snapshot, int(place[1]) - 1) if place else {}
    if not keys:
        raise missing
    return replace(wanted, keys={kind: [v.hex() for v in values] for kind, values in keys.items()})


def parse_until(text: str, now_ns: int) -> int:
    """A point in time from ``90d``, ``2027-01-31`` or ``2027-01-31T12:00:00Z`` (UTC where no zone is told).

    Raises:
        ConfigError: it is none.
    """
    try:
        return now_ns + int(parse_duration(text) * 1e9)
    except Expected:
        pass
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(
            "expected a duration such as 90d, or a time such as 2027-01-31 or 2027-01-31T12:00:00Z",
            where="--until",
        ) from None
    when = when if when.tzinfo is not None else when.replace(tzinfo=UTC)
    return int(when.timestamp()) * 10**9
