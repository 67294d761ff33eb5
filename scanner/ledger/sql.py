"""All SQL of the ledger but its layout (migrations/). One statement a name, what it is for above it."""

from __future__ import annotations

# The connection

# Readers never wait for the writer; says the mode the file has.
JOURNAL_MODE = "PRAGMA journal_mode"
SET_WAL = "PRAGMA journal_mode = WAL"
# Every commit is on the disk before it returns: an intent that is lost with the power is no intent.
SYNCHRONOUS = "PRAGMA synchronous = FULL"
FOREIGN_KEYS = "PRAGMA foreign_keys = ON"
# Takes the write lock at once, so that what is read in the transaction is still true when it writes.
BEGIN = "BEGIN IMMEDIATE"
COMMIT = "COMMIT"
ROLLBACK = "ROLLBACK"

# The layout

APPLICATION = "PRAGMA application_id"
VERSION = "PRAGMA user_version"
# PRAGMA takes no parameters: the number is ours.
SET_VERSION = "PRAGMA user_version = {version:d}"
COUNT_TABLES = "SELECT count(*) FROM sqlite_master"

# Events

LAST_EVENT = "SELECT seq, hash FROM events ORDER BY seq DESC LIMIT 1"
ADD_EVENT = """
    INSERT INTO events (seq, at_ns, type, case_id, actor, payload, prev_hash, hash)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)
"""
# The last event of a type. Walks back through the record: for a start, not for every file.
LAST_OF_TYPE = "SELECT at_ns FROM events WHERE type = ? ORDER BY seq DESC LIMIT 1"
# In order, from a number on: for reading on where one stopped.
EVENTS = """
    SELECT seq, at_ns, type, case_id, actor, payload, prev_hash, hash FROM events
    WHERE seq > :after ORDER BY seq LIMIT :limit
"""
# The same about one case. The empty id is no case.
EVENTS_OF_CASE = """
    SELECT seq, at_ns, type, case_id, actor, payload, prev_hash, hash FROM events
    WHERE case_id = :case_id AND case_id <> '' AND seq > :after ORDER BY seq LIMIT :limit
"""
# As stored, byte for byte, with the storage classes: what was tampered with need not be text.
RAW_EVENTS = """
    SELECT seq, at_ns, CAST(type AS BLOB), CAST(case_id AS BLOB), CAST(actor AS BLOB), CAST(payload AS BLOB),
           prev_hash, hash,
           typeof(type) || typeof(case_id) || typeof(actor) || typeof(payload) = 'texttexttexttext'
    FROM events ORDER BY seq
"""

# Cases

ADD_CASE = """
    INSERT INTO cases (id, opened_ns, volume, path, digest_kind, digest, action, state, body)
    VALUES (:id, :opened_ns, :volume, :path, :digest_kind, :digest, :action, :state, :body)
"""
CHANGE_CASE = "UPDATE cases SET action = :action, state = :state, body = :body WHERE id = :id"
CASE = "SELECT body FROM cases WHERE id = ?"
# The case of this content at this path.
CASE_OF_CONTENT = """
    SELECT body FROM cases
    WHERE volume = :volume AND path = :path AND digest_kind = :digest_kind AND digest = :digest
"""
# The cases of a path, the last one first.
CASES_OF_PATH = """
    SELECT body FROM cases WHERE volume = ? AND path = ? ORDER BY opened_ns DESC, id DESC LIMIT ?
"""
# Ids that begin so, by the order of text: from the prefix up to the last text that begins with it.
CASES_BY_PREFIX = "SELECT id FROM cases WHERE id >= :prefix AND id < :prefix || char(1114111) LIMIT :limit"
# Newest first. "Unsecured" stands in the same words as the partial index, so that it is used.
CASES = """
    SELECT body FROM cases WHERE (:state IS NULL OR state = :state)
    ORDER BY opened_ns DESC, id DESC LIMIT :limit OFFSET :offset
"""
UNSECURED_CASES = """
    SELECT body FROM cases
    WHERE action <> 'quarantined' AND state <> 'false-positive' AND (:state IS NULL OR state = :state)
    ORDER BY opened_ns DESC, id DESC LIMIT :limit OFFSET :offset
"""
SECURED_SAYING = """
    SELECT body FROM cases WHERE action = 'quarantined' AND instr(body, :text) > 0 ORDER BY opened_ns, id
"""
COUNT_UNSECURED = "SELECT count(*) FROM cases WHERE action <> 'quarantined' AND state <> 'false-positive'"
COUNT_CASES = "SELECT state, action, count(*) FROM cases GROUP BY state, action"

# Exceptions

ADD_EXCEPTION = "INSERT INTO exceptions (kind, value, case_id, at_ns, body) VALUES (?, ?, ?, ?, ?)"
REMOVE_EXCEPTION = "DELETE FROM exceptions WHERE kind = ? AND value = ?"
# Asked for every matched file: one look-up in the primary key.
IS_EXCEPTION = "SELECT 1 FROM exceptions WHERE kind = ? AND value = ?"
EXCEPTIONS = "SELECT kind, value, case_id, at_ns, body FROM exceptions ORDER BY at_ns, kind, value"

# Steps

ADD_STEP = "INSERT INTO steps (id, started_ns, state, body) VALUES (?, ?, ?, ?)"
CHANGE_STEP = "UPDATE steps SET state = :state, body = :body WHERE id = :id"
STEP = "SELECT state, body FROM steps WHERE id = ?"
# From a time on, in whatever state. No index: whoever asks does so once, at its start.
STEPS_SINCE = "SELECT body FROM steps WHERE started_ns >= ? ORDER BY started_ns, id"
OPEN_STEPS = "SELECT body FROM steps WHERE state = 'intent' ORDER BY started_ns, id"

# The last end of a step of each case that is not quarantined, if nothing was said of the case's action since.
UNTOLD_STEPS = """
    SELECT f.payload FROM cases AS c
    JOIN events AS f ON f.seq = (
        SELECT max(seq) FROM events WHERE case_id = c.id AND case_id <> '' AND type = 'step_finished')
    WHERE c.action <> 'quarantined' AND c.state <> 'false-positive' AND f.seq > (
        SELECT max(seq) FROM events
        WHERE case_id = c.id AND case_id <> '' AND type IN ('case_opened', 'case_acted'))
    ORDER BY f.seq
"""

# Scans

ADD_SCAN = "INSERT INTO scans (id, volume, started_ns, body) VALUES (?, ?, ?, ?)"
CHANGE_SCAN = """
    UPDATE scans SET finished_ns = :finished_ns, complete = :complete, body = :body WHERE id = :id
"""
SCAN = "SELECT finished_ns, body FROM scans WHERE id = ?"
# The last scan of each volume.
LAST_SCANS = """
    SELECT s.id, s.started_ns, s.finished_ns, s.complete, s.body
    FROM (SELECT DISTINCT volume FROM scans) AS v JOIN scans AS s ON s.id = (
        SELECT id FROM scans WHERE volume = v.volume ORDER BY started_ns DESC, id DESC LIMIT 1)
"""
# Scans of one volume, the last one first.
SCANS_OF_VOLUME = """
    SELECT id, started_ns, finished_ns, complete, body FROM scans
    WHERE volume = ? ORDER BY started_ns DESC, id DESC LIMIT ?
"""
# The last complete scan of each volume that has one.
LAST_COMPLETE_SCANS = """
    SELECT s.id, s.started_ns, s.finished_ns, s.complete, s.body
    FROM (SELECT DISTINCT volume FROM scans WHERE complete = 1) AS v JOIN scans AS s ON s.id = (
        SELECT id FROM scans WHERE volume = v.volume AND complete = 1
        ORDER BY started_ns DESC, id DESC LIMIT 1)
"""

# Settings that are states

META = "SELECT value FROM meta WHERE key = ?"
SET_META = "INSERT INTO meta (key, value) VALUES (?, ?)"
REMOVE_META = "DELETE FROM meta WHERE key = ?"

# The projections whole, in an order that both sides of a comparison share.
PROJECTIONS = {
    "cases": """
        SELECT id, opened_ns, volume, path, digest_kind, digest, action, state, body FROM cases ORDER BY id
    """,
    "exceptions": "SELECT kind, value, case_id, at_ns, body FROM exceptions ORDER BY kind, value",
    "meta": "SELECT key, value FROM meta ORDER BY key",
    "scans": "SELECT id, volume, started_ns, finished_ns, complete, body FROM scans ORDER BY id",
    "steps": "SELECT id, started_ns, state, body FROM steps ORDER BY id",
}
