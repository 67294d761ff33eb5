"""From events to tables. Everything but `events` is written here and nowhere else, from the event alone:
so writing and replaying can't come apart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import zip_longest

from scanner.ledger import codec, sql
from scanner.ledger.database import Database, Row
from scanner.ledger.opening import migrate, migrations
from scanner.ledger.records import Event, EventType, ScanRecord
from scanner.model.errors import LedgerError
from scanner.model.steps import StepState

BRAKE = "brake"  # key in `meta`

Projector = Callable[[Database, Event, codec.Object], None]


def project(database: Database, event: Event) -> None:
    """Write what an event changes. To be called within the transaction that writes the event.

    Raises:
        LedgerError: the event is of a type this version doesn't know, or does not fit what is there.
    """
    projector = _projectors().get(event.type)
    if projector is None:
        raise LedgerError(
            f"event {event.seq} is of a type this version does not know",
            where=database.where,
            remedy="Run the newer version",
        )
    projector(database, event, dict(event.payload))


def differences(database: Database) -> tuple[str, ...]:
    """The tables whose content is not what their events say; in order, none if all is well.

    Replays all events into a temporary database. For a chain that was verified.

    Raises:
        LedgerError: an event can't be read or applied.
    """
    replayed = replay(database)
    try:
        return tuple(name for name in sql.PROJECTIONS if not _same(name, database, replayed))
    finally:
        replayed.close()


def _same(table: str, one: Database, other: Database) -> bool:
    statement = sql.PROJECTIONS[table]
    with one.walk(statement) as left, other.walk(statement) as right:
        return all(a == b for a, b in zip_longest(left, right))


def replay(database: Database) -> Database:
    """A temporary database made from the events alone; to be closed by the caller.

    Raises:
        LedgerError: an event can't be read or applied.
    """
    copy = Database.temporary()
    try:
        migrate(copy, migrations())
        with copy.transaction(), database.walk(sql.RAW_EVENTS) as rows:
            for row in rows:
                project(copy, _raw_event(row))
    except BaseException:
        copy.close()
        raise
    return copy


def read_event(row: Row) -> Event:
    """An event as `sql.EVENTS` gives it."""
    seq, at_ns, kind, case_id, actor, payload, prev_hash, own_hash = row
    return Event(seq, at_ns, kind, case_id, actor, codec.parse(payload), prev_hash, own_hash)


def read_scan(row: Row) -> ScanRecord:
    """A scan as `sql.LAST_SCANS` gives it."""
    scan_id, started_ns, finished_ns, complete, text = row
    body = codec.parse(text)
    counts = body.get("counts", {})
    return ScanRecord(scan_id, body["volume"], body["kind"], started_ns, finished_ns, bool(complete), counts)


def _raw_event(row: Row) -> Event:
    texts = (str(text, "utf-8", "replace") for text in row[2:6])
    return read_event((*row[:2], *texts, *row[6:8]))


def _body(database: Database, statement: str, key: str) -> codec.Object:
    text = database.scalar(statement, (key,))
    if text is None:
        raise LedgerError("an event is about something that was never begun", where=database.where)
    return codec.parse(text)


def _case_opened(database: Database, event: Event, payload: codec.Object) -> None:
    case = codec.read_case(codec.canonical(payload))
    kind, value = codec.content_key(case.digests)
    database.execute(
        sql.ADD_CASE,
        {
            "id": case.id,
            "opened_ns": case.opened_ns,
            "volume": codec.text_key(case.volume),
            "path": case.path,
            "digest_kind": kind,
            "digest": value,
            "action": str(case.action),
            "state": str(case.state),
            "body": codec.canonical(payload),
        },
    )


def _case_changed(database: Database, event: Event, payload: codec.Object) -> None:
    """case_seen, case_acted, case_resolved: the payload has the fields that are new."""
    body = _body(database, sql.CASE, event.case_id) | payload | {"updated_ns": event.at_ns}
    database.execute(
        sql.CHANGE_CASE,
        {
            "id": event.case_id,
            "action": body["action"],
            "state": body["state"],
            "body": codec.canonical(body),
        },
    )


def _exception_added(database: Database, event: Event, payload: codec.Object) -> None:
    body = codec.canonical({"note": payload["note"], "actor": event.actor})
    value = bytes.fromhex(payload["value"])
    database.execute(sql.ADD_EXCEPTION, (payload["kind"], value, event.case_id, event.at_ns, body))


def _exception_removed(database: Database, event: Event, payload: codec.Object) -> None:
    database.execute(sql.REMOVE_EXCEPTION, (payload["kind"], bytes.fromhex(payload["value"])))


def _step_begun(database: Database, event: Event, payload: codec.Object) -> None:
    values = (payload["id"], payload["started_ns"], str(StepState.INTENT), codec.canonical(payload))
    database.execute(sql.ADD_STEP, values)


def _step_finished(database: Database, event: Event, payload: codec.Object) -> None:
    row = database.one(sql.STEP, (payload["id"],))
    body = codec.parse(row[1] if row else "{}") | payload
    values = {"id": payload["id"], "state": payload["state"], "body": codec.canonical(body)}
    database.execute(sql.CHANGE_STEP, values)


def _brake_engaged(database: Database, event: Event, payload: codec.Object) -> None:
    value = codec.canonical({"reason": payload["reason"], "engaged_ns": event.at_ns})
    database.execute(sql.SET_META, (BRAKE, value))


def _brake_released(database: Database, event: Event, payload: codec.Object) -> None:
    database.execute(sql.REMOVE_META, (BRAKE,))


def _scan_started(database: Database, event: Event, payload: codec.Object) -> None:
    volume = codec.text_key(payload["volume"])
    database.execute(sql.ADD_SCAN, (payload["id"], volume, event.at_ns, codec.canonical(payload)))


def _scan_finished(database: Database, event: Event, payload: codec.Object) -> None:
    row = database.one(sql.SCAN, (payload["id"],))
    body = codec.parse(row[1] if row else "{}") | {"counts": payload["counts"]}
    values = {
        "id": payload["id"],
        "finished_ns": event.at_ns,
        "complete": int(payload["complete"]),
        "body": codec.canonical(body),
    }
    database.execute(sql.CHANGE_SCAN, values)


def _note(database: Database, event: Event, payload: codec.Object) -> None:
    """Words on record; they change no state."""


def _projectors() -> Mapping[str, Projector]:
    return {
        EventType.CASE_OPENED: _case_opened,
        EventType.CASE_SEEN: _case_changed,
        EventType.CASE_ACTED: _case_changed,
        EventType.CASE_RESOLVED: _case_changed,
        EventType.STEP_BEGUN: _step_begun,
        EventType.STEP_FINISHED: _step_finished,
        EventType.EXCEPTION_ADDED: _exception_added,
        EventType.EXCEPTION_REMOVED: _exception_removed,
        EventType.BRAKE_ENGAGED: _brake_engaged,
        EventType.BRAKE_RELEASED: _brake_released,
        EventType.SCAN_STARTED: _scan_started,
        EventType.SCAN_FINISHED: _scan_finished,
        EventType.NOTE: _note,
    }
