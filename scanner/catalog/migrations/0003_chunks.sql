-- What has been seen. Bytes are BLOBs, times are nanoseconds since 1970 UTC, sizes are bytes.
-- Older layouts are rewritten into a new file of this one (scanner/catalog/older.py).

-- AUTOINCREMENT: an id is never given to another volume or directory, so whoever holds one for a moment
-- can't be shown somebody else's files.
CREATE TABLE volumes (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL,
    root BLOB NOT NULL,
    -- Ids of indexes of the lists; '' for none:
    matched_with TEXT NOT NULL DEFAULT '',  -- that all files were matched with, but for directories apart
    matching TEXT NOT NULL DEFAULT '',      -- that files are being matched with …
    matched_up_to INTEGER NOT NULL DEFAULT 0,  -- … and have been in directories up to this id
    UNIQUE (name, root)
);

CREATE TABLE directories (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    volume_id INTEGER NOT NULL,
    path BLOB NOT NULL,
    profile INTEGER NOT NULL,       -- profiles.id: what was done with its files
    fingerprint BLOB NOT NULL,      -- empty: compare file by file
    apart INTEGER NOT NULL,         -- 1: files were compared with another index than the volume's;
                                    -- 2: the same, and they are being matched with the volume's
    -- Of the files in its chunks, kept with them:
    files INTEGER NOT NULL,
    clean INTEGER NOT NULL,
    not_media INTEGER NOT NULL,
    undecodable INTEGER NOT NULL,
    listed INTEGER NOT NULL,
    digested INTEGER NOT NULL,      -- files that have digests
    bytes INTEGER NOT NULL,         -- size of the clean files together, at most 2**63 - 1
    UNIQUE (volume_id, path)
);

-- For going through one volume in the order of the ids (the id is part of every index).
CREATE INDEX directories_by_volume ON directories (volume_id);
CREATE INDEX directories_apart ON directories (volume_id) WHERE apart > 0;

-- The files of a directory, ascending by name: one chunk of at most 5,400 bytes, or several.
CREATE TABLE chunks (
    id INTEGER PRIMARY KEY,         -- directories.id << 30 | a number that ascends with the names
    first BLOB NOT NULL,            -- no name in it is less; empty in a directory's first chunk
    data BLOB NOT NULL              -- scanner/catalog/chunks.py
);

-- Words that stand in many rows, stored once. Never deleted: a number keeps its meaning.
CREATE TABLE terms (id INTEGER PRIMARY KEY, term TEXT NOT NULL UNIQUE);
CREATE TABLE views (id INTEGER PRIMARY KEY, kind TEXT NOT NULL, view TEXT NOT NULL, UNIQUE (kind, view));
CREATE TABLE profiles (id INTEGER PRIMARY KEY, profile BLOB NOT NULL UNIQUE);
