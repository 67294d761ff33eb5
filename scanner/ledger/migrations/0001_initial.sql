-- Layout 1 of the ledger.
--
-- `events` is the record; every other table is a projection of it, written in the same transaction, and can
-- be made anew from it. Texts that strangers can choose (paths, names of feeds, notes) stand in `body` as ASCII
-- JSON, since a SQLite TEXT can't hold names that are no UTF-8. The columns beside it are what is looked up.
-- No STRICT and no RETURNING: SQLite 3.34 is still in use where Python 3.11 is.

PRAGMA application_id = 1213421388;  -- "HSWL": tells the ledger from any other SQLite file

CREATE TABLE events (
    seq       INTEGER PRIMARY KEY,           -- from 1, without gaps
    at_ns     INTEGER NOT NULL,              -- UTC, nanoseconds since 1970
    type      TEXT NOT NULL,
    case_id   TEXT NOT NULL,                 -- '' where it is about no case
    actor     TEXT NOT NULL,
    payload   TEXT NOT NULL,                 -- canonical JSON, ASCII
    prev_hash BLOB NOT NULL CHECK (length(prev_hash) = 32),
    hash      BLOB NOT NULL CHECK (length(hash) = 32)
);
CREATE INDEX events_by_case ON events (case_id, seq) WHERE case_id <> '';

CREATE TRIGGER events_are_not_changed BEFORE UPDATE ON events
BEGIN SELECT RAISE(ABORT, 'events are never changed'); END;

CREATE TRIGGER events_are_not_deleted BEFORE DELETE ON events
BEGIN SELECT RAISE(ABORT, 'events are never deleted'); END;

-- Also what keeps INSERT OR REPLACE out, which deletes without the trigger above.
CREATE TRIGGER events_have_no_gaps BEFORE INSERT ON events
WHEN NEW.seq IS NOT (SELECT coalesce(max(seq), 0) + 1 FROM events)
BEGIN SELECT RAISE(ABORT, 'events are numbered without gaps'); END;

CREATE TABLE cases (
    id          TEXT PRIMARY KEY,
    opened_ns   INTEGER NOT NULL,
    volume      BLOB NOT NULL,               -- UTF-8, surrogates passed on
    path        BLOB NOT NULL,
    digest_kind TEXT NOT NULL,               -- sha256, or the strongest exact kind there is; '' if none
    digest      BLOB NOT NULL,
    action      TEXT NOT NULL,
    state       TEXT NOT NULL,
    body        TEXT NOT NULL,               -- the whole case
    UNIQUE (volume, path, digest_kind, digest)
);
CREATE INDEX cases_by_age ON cases (opened_ns, id);
CREATE INDEX cases_unsecured ON cases (opened_ns, id)
    WHERE action <> 'quarantined' AND state <> 'false-positive';

CREATE TABLE exceptions (
    kind    TEXT NOT NULL,
    value   BLOB NOT NULL,
    case_id TEXT NOT NULL REFERENCES cases (id),
    at_ns   INTEGER NOT NULL,
    body    TEXT NOT NULL,                   -- note and actor
    PRIMARY KEY (kind, value)
) WITHOUT ROWID;

CREATE TABLE steps (
    id         TEXT PRIMARY KEY,
    started_ns INTEGER NOT NULL,
    state      TEXT NOT NULL,
    body       TEXT NOT NULL                 -- the whole step, and its outcome
);
CREATE INDEX steps_open ON steps (started_ns, id) WHERE state = 'intent';

CREATE TABLE scans (
    id          TEXT PRIMARY KEY,
    volume      BLOB NOT NULL,
    started_ns  INTEGER NOT NULL,
    finished_ns INTEGER NOT NULL DEFAULT 0,  -- 0: running, or died
    complete    INTEGER NOT NULL DEFAULT 0,
    body        TEXT NOT NULL                -- kind and counts
);
CREATE INDEX scans_by_volume ON scans (volume, started_ns, id);
CREATE INDEX scans_complete ON scans (volume, started_ns, id) WHERE complete = 1;

CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL                      -- JSON
) WITHOUT ROWID;
