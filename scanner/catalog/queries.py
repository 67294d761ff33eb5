"""All SQL of the catalog, apart from its migrations. Parameters stand in the order of the question marks."""

from __future__ import annotations

# --- the file as a whole ---------------------------------------------------------------------------

USER_VERSION = "PRAGMA user_version"

# One error is enough to know that the file is damaged.
QUICK_CHECK = "PRAGMA quick_check(1)"

# Touches every table, so that a damaged schema or root page shows at once.
PROBE = """
SELECT (SELECT max(id) FROM volumes), (SELECT max(id) FROM directories), (SELECT max(id) FROM chunks),
       (SELECT max(id) FROM terms), (SELECT max(id) FROM views), (SELECT max(id) FROM profiles)
"""

# For every connection. cell_size_check finds damaged pages before they are used; what is only for the moment
# stays out of /var/tmp.
SETTINGS = (
    "PRAGMA cell_size_check = ON",
    "PRAGMA trusted_schema = OFF",
    "PRAGMA temp_store = MEMORY",
)

# For the writer.
#   page_size: of a new file. SQLite does not divide a row that fits a page: with smaller pages, or larger
#     chunks, a fifth to a half of each would be left (docs/decisions/0014).
#   auto_vacuum: of a new file; lets free pages be given back without writing all others anew.
#   WAL: readers see whole transactions and never wait for the writer.
#   NORMAL: a power cut may lose the last transactions, never the order or the wholeness of what is left.
#     The catalog is then older than it was, and an older row is not wrong: it is compared with the file as
#     it is now, and counts only if inode, size and ctime are the same.
#   cache_size: KiB if negative; 32 MiB keep the inner pages of a hundred million files.
#   wal_autocheckpoint: pages, 16 MiB, because each checkpoint waits for the disk.
#   journal_size_limit: bytes; the log of an unusually large transaction is cut back to this.
WRITER_SETTINGS = (
    "PRAGMA page_size = 32768",
    "PRAGMA auto_vacuum = INCREMENTAL",
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = NORMAL",
    "PRAGMA cache_size = -32768",
    "PRAGMA wal_autocheckpoint = 512",
    "PRAGMA journal_size_limit = 67108864",
)

FREE_PAGES = "PRAGMA freelist_count"
PAGES = "PRAGMA page_count"
GIVE_BACK = "PRAGMA incremental_vacuum(128)"

# IMMEDIATE takes the write lock at once: a transaction never fails halfway because another got it first.
BEGIN = "BEGIN IMMEDIATE"
BEGIN_READING = "BEGIN"
COMMIT = "COMMIT"
ROLLBACK = "ROLLBACK"

# --- words -----------------------------------------------------------------------------------------

ADD_TERM = "INSERT OR IGNORE INTO terms (term) VALUES (?)"
FIND_TERM = "SELECT id FROM terms WHERE term = ?"
TERMS = "SELECT id, term FROM terms"
ADD_VIEW = "INSERT OR IGNORE INTO views (kind, view) VALUES (?, ?)"
FIND_VIEW = "SELECT id FROM views WHERE kind = ? AND view = ?"
VIEWS = "SELECT id, kind, view FROM views"
ADD_PROFILE = "INSERT OR IGNORE INTO profiles (profile) VALUES (?)"
FIND_PROFILE = "SELECT id FROM profiles WHERE profile = ?"
PROFILES = "SELECT id, profile FROM profiles"

# --- volumes ---------------------------------------------------------------------------------------

ADD_VOLUME = "INSERT OR IGNORE INTO volumes (name, root) VALUES (?, ?)"
VOLUME = "SELECT id FROM volumes WHERE name = ? AND root = ?"
VOLUMES = "SELECT id, name, root FROM volumes ORDER BY name, root"
DELETE_VOLUME = "DELETE FROM volumes WHERE id = ?"

# (indexes that files were and are being matched with, up to which directory, whether some are apart)
MATCHING = """
SELECT matched_with, matching, matched_up_to,
       EXISTS (SELECT 1 FROM directories WHERE volume_id = volumes.id AND apart > 0)
FROM volumes WHERE id = ?
"""
BEGIN_MATCHING = "UPDATE volumes SET matched_with = ?, matching = ?, matched_up_to = 0 WHERE id = ?"
TAKE_APART = "UPDATE directories SET apart = 2 WHERE volume_id = ? AND apart > 0"
MATCHED_UP_TO = """
UPDATE volumes SET matched_up_to = max(matched_up_to, ?) WHERE id = ? AND matching = ?
"""
END_MATCHING = """
UPDATE volumes SET matched_with = matching, matching = '', matched_up_to = 0 WHERE id = ? AND matching = ?
"""
# "apart > 0" says that the index of these directories alone will do.
BRING_TOGETHER = "UPDATE directories SET apart = 0 WHERE volume_id = ? AND apart > 0 AND apart = 2"

# Sums over directories, a twentieth of the files. total() is a float: exact up to 2**53, and unlike sum()
# it does not fail when sparse files of customers add up to more than 63 bits.
STATS = """
SELECT count(*), total(files), total(bytes), total(clean), total(not_media), total(undecodable),
       total(listed), total(digested)
FROM directories WHERE volume_id = ?
"""

# --- directories -----------------------------------------------------------------------------------

_COUNTS = "files, clean, not_media, undecodable, listed, digested, bytes"

# What the walk asks for every directory: one look into the index of (volume_id, path).
# The profile, then what a KnownDirectory has.
_WALKED = "profile, id, fingerprint, clean, not_media, bytes, files != clean + not_media, inode"
DIRECTORY = f"SELECT {_WALKED} FROM directories WHERE volume_id = ? AND path = ?"
DIRECTORY_TO_WRITE = f"""
SELECT id, profile, apart, inode, {_COUNTS} FROM directories WHERE volume_id = ? AND path = ?
"""
DIRECTORY_ID = "SELECT id FROM directories WHERE volume_id = ? AND path = ?"
DIRECTORY_PATH = "SELECT path FROM directories WHERE id = ? AND volume_id = ?"
DIRECTORY_COUNTS = f"SELECT {_COUNTS} FROM directories WHERE id = ? AND volume_id = ?"
ADD_DIRECTORY = f"""
INSERT INTO directories (volume_id, path, profile, fingerprint, apart, inode, {_COUNTS})
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
SET_DIRECTORY = f"""
UPDATE directories
SET profile = ?, fingerprint = ?, apart = ?, inode = ?, ({_COUNTS}) = (?, ?, ?, ?, ?, ?, ?)
WHERE id = ?
"""
SET_COUNTS = f"UPDATE directories SET ({_COUNTS}) = (?, ?, ?, ?, ?, ?, ?) WHERE id = ?"
# A directory whose rows were changed by hand: what the walk compares must not hide that.
UNTRUST_DIRECTORY = "UPDATE directories SET fingerprint = x'' WHERE id = ?"
DIRECTORY_PATHS = "SELECT id, path FROM directories WHERE volume_id = ?"
DIRECTORY_NOW = "SELECT path, fingerprint, profile FROM directories WHERE id = ? AND volume_id = ?"
DELETE_DIRECTORY = "DELETE FROM directories WHERE id = ?"

# --- directories that moved -------------------------------------------------------------------------

# The inode's latest row; (…, path, 1 if that is one). The constant lets SQLite use the partial index.
DIRECTORY_BY_INODE = f"""
SELECT {_WALKED}, path, volume_id > 0 FROM directories
WHERE inode = ? AND inode != 0 AND volume_id IN (?, ?) ORDER BY id DESC LIMIT 1
"""
MOVED = "SELECT path, apart FROM directories WHERE id = ? AND inode = ? AND volume_id IN (?, ?)"
SET_PATH = "UPDATE directories SET volume_id = ?, path = ?, apart = ? WHERE id = ?"
WITHOUT_PATH = "SELECT id FROM directories WHERE volume_id = ?"

# --- files -----------------------------------------------------------------------------------------

CHUNKS = "SELECT id, first FROM chunks WHERE id BETWEEN ? AND ?"
CHUNK = "SELECT data FROM chunks WHERE id = ?"
NEXT_CHUNK = "SELECT id FROM chunks WHERE id > ? AND id <= ? ORDER BY id LIMIT 1"
CHUNK_DATA = "SELECT data FROM chunks WHERE id BETWEEN ? AND ?"
WHOLE_CHUNKS = "SELECT id, first, data FROM chunks WHERE id BETWEEN ? AND ?"
PUT_CHUNK = "INSERT OR REPLACE INTO chunks (id, first, data) VALUES (?, ?, ?)"
DELETE_CHUNK = "DELETE FROM chunks WHERE id = ?"
DELETE_CHUNKS = "DELETE FROM chunks WHERE id BETWEEN ? AND ?"
# The chunk of a directory that has a name, if any has.
CHUNK_WITH = "SELECT max(id) FROM chunks WHERE id BETWEEN ? AND ? AND first <= ?"

# Chunks of a volume from one on. CROSS JOIN fixes the order of the loops: directories by id, in each the
# chunks in the order of names, which is the order of both b-trees, so nothing is sorted and any number may
# be read.
_CHUNKS_FROM = """
SELECT c.id, c.data
FROM directories AS d INDEXED BY directories_by_volume
CROSS JOIN chunks AS c ON c.id BETWEEN max(d.id << 30, ?) AND d.id << 30 | 1073741823
WHERE d.volume_id = ? AND d.id >= ?
"""
CHUNKS_FROM = f"{_CHUNKS_FROM} ORDER BY d.id, c.id"
DIGESTED_CHUNKS_FROM = f"{_CHUNKS_FROM} AND d.digested > 0 ORDER BY d.id, c.id"
UNMATCHED_CHUNKS_FROM = f"{_CHUNKS_FROM} AND d.digested > 0 AND d.apart = 0 ORDER BY d.id, c.id"
UNMATCHED_APART_FROM = f"""
{_CHUNKS_FROM.replace("directories_by_volume", "directories_apart")} AND d.apart > 0 AND d.digested > 0
AND d.apart = ? ORDER BY d.id, c.id
"""
CHUNKS_OF_PROFILE_FROM = f"{_CHUNKS_FROM} AND d.digested > 0 AND d.profile = ? ORDER BY d.id, c.id"
