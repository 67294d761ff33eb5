-- What has been seen. Bytes are BLOBs, times are nanoseconds since 1970 UTC, sizes are bytes.
-- A number that does not fit 64 signed bits (an inode of a network file system, a time of the year 2400)
-- is kept as a 16-byte big-endian signed BLOB in its INTEGER column.

-- AUTOINCREMENT: an id is never given to another volume or directory, so whoever holds one for a moment
-- can't be shown somebody else's files.
CREATE TABLE volumes (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL,
    root BLOB NOT NULL,
    matched_with TEXT NOT NULL DEFAULT '',  -- id of the index that its rows were last matched with
    UNIQUE (name, root)
);

CREATE TABLE directories (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    volume_id INTEGER NOT NULL,
    path BLOB NOT NULL,
    profile BLOB NOT NULL,          -- what was done with its files
    fingerprint BLOB NOT NULL,      -- empty: compare file by file
    -- Derived from the rows of `files` whenever one of them changes:
    files INTEGER NOT NULL DEFAULT 0,
    clean INTEGER NOT NULL DEFAULT 0,
    not_media INTEGER NOT NULL DEFAULT 0,
    undecodable INTEGER NOT NULL DEFAULT 0,
    listed INTEGER NOT NULL DEFAULT 0,
    digested INTEGER NOT NULL DEFAULT 0,    -- files that have digests
    bytes INTEGER NOT NULL DEFAULT 0,       -- size of the clean files together
    hot INTEGER NOT NULL DEFAULT 0,         -- some file is neither clean nor "not media"
    UNIQUE (volume_id, path)
);

-- For going through one volume in the order of the ids (the id is part of every index).
CREATE INDEX directories_by_volume ON directories (volume_id);

-- WITHOUT ROWID: the rows of a directory lie together and are read by one range.
CREATE TABLE files (
    directory_id INTEGER NOT NULL,
    name BLOB NOT NULL,
    inode INTEGER NOT NULL,
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    ctime_ns INTEGER NOT NULL,
    links INTEGER NOT NULL,
    blocks INTEGER NOT NULL,
    state INTEGER NOT NULL,         -- scanner.model.files.FileState
    media_type INTEGER NOT NULL,    -- terms.id
    problem INTEGER NOT NULL,       -- terms.id
    hashed INTEGER,                 -- bytes that were read and hashed, where that is not `size`
    md5 BLOB,
    sha1 BLOB,
    sha256 BLOB,
    views BLOB,                     -- perceptual hashes, packed (scanner/catalog/packing.py)
    PRIMARY KEY (directory_id, name)
) WITHOUT ROWID;

-- Words that stand in many rows, stored once. Never deleted: a number keeps its meaning.
CREATE TABLE terms (id INTEGER PRIMARY KEY, term TEXT NOT NULL UNIQUE);
CREATE TABLE views (id INTEGER PRIMARY KEY, kind TEXT NOT NULL, view TEXT NOT NULL, UNIQUE (kind, view));
