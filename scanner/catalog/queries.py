"""All SQL of the catalog, apart from its migrations. Parameters stand in the order of the question marks."""

from __future__ import annotations

# --- the file as a whole ---------------------------------------------------------------------------

USER_VERSION = "PRAGMA user_version"

# One error is enough to know that the file is damaged.
QUICK_CHECK = "PRAGMA quick_check(1)"

# Touches every table, so that a damaged schema or root page shows at once.
PROBE = """
SELECT (SELECT max(id) FROM volumes), (SELECT max(id) FROM directories),
       (SELECT max(directory_id) FROM files), (SELECT max(id) FROM terms), (SELECT max(id) FROM views)
"""

# For every connection. cell_size_check finds damaged pages before they are used.
SETTINGS = ("PRAGMA cell_size_check = ON", "PRAGMA trusted_schema = OFF")

# For the writer.
#   WAL: readers see whole transactions and never wait for the writer.
#   NORMAL: a power cut may lose the last transactions, never the order or the wholeness of what is left.
#     The catalog is then older than it was, and an older row is not wrong: it is compared with the file as
#     it is now, and counts only if inode, size and ctime are the same.
#   cache_size: KiB if negative; 32 MiB keep the inner pages of ten million files.
#   wal_autocheckpoint: pages, 16 MiB, because each checkpoint waits for the disk.
#   journal_size_limit: bytes; the log of an unusually large transaction is cut back to this.
WRITER_SETTINGS = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = NORMAL",
    "PRAGMA cache_size = -32768",
    "PRAGMA wal_autocheckpoint = 4096",
    "PRAGMA journal_size_limit = 67108864",
)

# IMMEDIATE takes the write lock at once: a transaction never fails halfway because another got it first.
BEGIN = "BEGIN IMMEDIATE"
COMMIT = "COMMIT"
ROLLBACK = "ROLLBACK"

# --- words -----------------------------------------------------------------------------------------

ADD_TERM = "INSERT OR IGNORE INTO terms (term) VALUES (?)"
TERMS = "SELECT id, term FROM terms"
ADD_VIEW = "INSERT OR IGNORE INTO views (kind, view) VALUES (?, ?)"
VIEWS = "SELECT id, kind, view FROM views"

# --- volumes ---------------------------------------------------------------------------------------

ADD_VOLUME = "INSERT OR IGNORE INTO volumes (name, root) VALUES (?, ?)"
VOLUME = "SELECT id FROM volumes WHERE name = ? AND root = ?"
VOLUMES = "SELECT id, name, root, matched_with FROM volumes ORDER BY name, root"
MATCHED_WITH = "SELECT matched_with FROM volumes WHERE id = ?"
SET_MATCHED_WITH = "UPDATE volumes SET matched_with = ? WHERE id = ?"
END_MATCHING = "UPDATE volumes SET matched_with = ? WHERE id = ? AND matched_with = ?"
# Rows were written that were compared with another index than the others.
NOT_ALL_MATCHED = "UPDATE volumes SET matched_with = '' WHERE id = ? AND matched_with NOT IN ('', ?, ?)"
DELETE_VOLUME = "DELETE FROM volumes WHERE id = ?"

# Sums over directories, a twentieth of the rows. total() is a float: exact up to 2**53, and unlike sum()
# it does not fail when sparse files of customers add up to more than 63 bits.
STATS = """
SELECT count(*), total(files), total(bytes), total(clean), total(not_media), total(undecodable),
       total(listed), total(digested)
FROM directories WHERE volume_id = ?
"""

# --- directories -----------------------------------------------------------------------------------

# What the walk asks for every directory: one look into the index of (volume_id, path).
DIRECTORY = """
SELECT id, fingerprint, clean, not_media, bytes, hot, profile
FROM directories WHERE volume_id = ? AND path = ?
"""
DIRECTORY_TO_WRITE = "SELECT id, profile FROM directories WHERE volume_id = ? AND path = ?"
ADD_DIRECTORY = "INSERT INTO directories (volume_id, path, profile, fingerprint) VALUES (?, ?, ?, x'')"
DIRECTORY_PATHS = "SELECT id, path FROM directories WHERE volume_id = ?"
DELETE_DIRECTORY = "DELETE FROM directories WHERE id = ?"

# Always computed from the rows, so that the counts can't drift from them.
_COUNTS = """
(files, clean, not_media, undecodable, listed, digested, bytes, hot) = (
    SELECT count(*),
           count(*) FILTER (WHERE state = 0),
           count(*) FILTER (WHERE state = 1),
           count(*) FILTER (WHERE state = 2),
           count(*) FILTER (WHERE state = 3),
           count(*) FILTER (WHERE coalesce(md5, sha1, sha256, sha512, views) IS NOT NULL),
           CAST(total(size) FILTER (WHERE state = 0) AS INTEGER),
           count(*) FILTER (WHERE state > 1) > 0
    FROM files WHERE directory_id = directories.id)
"""
SET_DIRECTORY = f"UPDATE directories SET profile = ?, fingerprint = ?, {_COUNTS} WHERE id = ?"
COUNT_DIRECTORY = f"UPDATE directories SET {_COUNTS} WHERE id = ?"
# A directory whose rows were changed by hand: what the walk compares must not hide that.
UNTRUST_DIRECTORY = f"UPDATE directories SET fingerprint = x'', {_COUNTS} WHERE id = ?"

# --- files -----------------------------------------------------------------------------------------

# In the order in which `packing` reads and writes them.
_FILE = (
    "name, inode, size, mtime_ns, ctime_ns, links, blocks, state, media_type, problem, hashed,"
    " md5, sha1, sha256, sha512, views"
)
FILES = f"SELECT {_FILE} FROM files WHERE directory_id = ?"
FILE = f"SELECT {_FILE} FROM files WHERE directory_id = ? AND name = ?"
PUT_FILE = f"INSERT OR REPLACE INTO files (directory_id, {_FILE}) VALUES ({', '.join('?' * 17)})"
DELETE_FILE = "DELETE FROM files WHERE directory_id = ? AND name = ?"
DELETE_FILES = "DELETE FROM files WHERE directory_id = ?"
SET_STATE = "UPDATE files SET state = ? WHERE directory_id = ? AND name = ?"

# A file by its key, in this volume only.
FOUND_FILE = f"""
SELECT d.path, {", ".join("f." + c.strip() for c in _FILE.split(","))}
FROM directories AS d JOIN files AS f ON f.directory_id = d.id AND f.name = ?
WHERE d.id = ? AND d.volume_id = ?
"""

# Every name of some inodes (a JSON list of numbers) in one volume. Reads all rows of the volume: there is no
# index by inode, since it would cost every scan more than the rare question.
NAMES_OF_INODES = """
SELECT d.path, f.name
FROM directories AS d INDEXED BY directories_by_volume
CROSS JOIN files AS f ON f.directory_id = d.id
WHERE d.volume_id = ? AND f.inode IN (SELECT value FROM json_each(?))
"""

# The next files that have digests, after (directory, name). CROSS JOIN fixes the order of the loops:
# directories of the volume by id, in each the names in order, which is the order of both b-trees, so nothing
# is sorted and a page starts where the last one ended. No name is empty, so x'' is before all of them.
DIGESTED_FILES = """
SELECT f.directory_id, f.name, coalesce(f.hashed, f.size), f.media_type, f.problem, f.md5, f.sha1, f.sha256,
       f.sha512, f.views
FROM directories AS d INDEXED BY directories_by_volume
CROSS JOIN files AS f ON f.directory_id = d.id AND f.name > CASE WHEN d.id = ? THEN ? ELSE x'' END
WHERE d.volume_id = ? AND d.id >= ? AND coalesce(f.md5, f.sha1, f.sha256, f.sha512, f.views) IS NOT NULL
ORDER BY d.id, f.name
LIMIT ?
"""
