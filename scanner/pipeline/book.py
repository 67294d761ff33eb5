"""What a scan will tell the catalog: one record a directory, written when the last of its files is done."""

from __future__ import annotations

from dataclasses import dataclass, field

from scanner.catalog import DirectoryRecord, VolumeCatalog
from scanner.model.files import FileStat, FileState, KnownFile
from scanner.model.hashes import Digests
from scanner.pipeline.opening import OpenDirectory

# A ctime younger than this when we look may hide a later write within the same tick of the clock (git's
# "racy" rule; 2 s also covers file systems with coarse stamps): such a row never compares equal.
RACY_NS = 2_000_000_000
# Rows kept in memory for one directory before they are handed to the catalog.
_PART_ROWS = 8192
_PAUSED_ROWS = 64  # the same, of one in which only large files wait
_COMMIT_SECONDS = 2.0  # what an interrupted scan may have to do again


@dataclass(slots=True)
class DirectoryBook:
    """A directory in work; `ended` when the walk said its last.

    Attributes:
        waiting: files that are queued or in flight.
        active: those of them that are in flight, or will be soon: not the large ones that wait.
    """

    directory: OpenDirectory
    waiting: int = 0
    active: int = 0
    ended: bool = False
    whole: bool = True  # every file has a lasting answer, so the fingerprint may be trusted
    fingerprint: bytes = b""
    inode: int = 0
    moved_from: int = 0
    rows: list[KnownFile] = field(default_factory=list)
    removed: list[bytes] = field(default_factory=list)

    def let_go(self) -> None:
        """One of its files is neither in flight nor queued any more."""
        self.waiting -= 1
        self.active -= 1


class CatalogBook:
    """Gathers answers and writes them. Without a catalog it only keeps the directories in order.

    Args:
        one_mount: files on other mounts than the volume's root are not opened.
    """

    def __init__(self, catalog: VolumeCatalog | None, *, one_mount: bool = False) -> None:
        self._catalog = catalog
        self._one_mount = one_mount
        self._open: dict[bytes, DirectoryBook] = {}
        self._last_commit = 0.0
        self._dirty = False
        self.not_whole: set[bytes] = set()
        """Directories some file of which has no lasting answer."""

    def directory(self, root_fd: int, path: bytes) -> DirectoryBook:
        """The book of a directory that the walk tells of (in one or several parts)."""
        book = self._open.get(path)
        if book is None:
            book = self._open[path] = DirectoryBook(OpenDirectory(root_fd, path, one_mount=self._one_mount))
        return book

    def remember(
        self, book: DirectoryBook, stat: FileStat, now_ns: int, state: FileState, digests: Digests
    ) -> None:
        """A file has a lasting answer: it need not be read again while it stays as it is."""
        if now_ns - stat.ctime_ns < RACY_NS:
            stat = stat._replace(ctime_ns=0)
            book.whole = False
        book.rows.append(KnownFile(stat, state, digests))
        if len(book.rows) >= _PART_ROWS:
            self._record(book, complete=False)

    def forget(self, book: DirectoryBook, name: bytes) -> None:
        """A file is gone from its place (secured, vanished)."""
        book.removed.append(name)
        book.whole = False

    def done(self, book: DirectoryBook) -> None:
        """To be called after each change of `waiting` or `ended`: closes the book when nothing is left."""
        if book.waiting and not book.active:
            self._pause(book)
        if book.waiting or not book.ended:
            return
        book.directory.close()
        self._open.pop(book.directory.path, None)
        if not book.whole:
            self.not_whole.add(book.directory.path)
        self._record(book, complete=book.whole)

    def _pause(self, book: DirectoryBook) -> None:
        """Only large files wait, which may take long: let go of what many such directories would hold."""
        book.directory.close()
        if len(book.rows) >= _PAUSED_ROWS:
            self._record(book, complete=False)

    def _record(self, book: DirectoryBook, *, complete: bool) -> None:
        if self._catalog is not None:
            self._catalog.record(
                DirectoryRecord(
                    path=book.directory.path,
                    fingerprint=book.fingerprint if complete else b"",
                    upserts=tuple(book.rows),
                    removed=tuple(book.removed),
                    complete=complete,
                    inode=book.inode,
                    moved_from=book.moved_from,
                )
            )
            self._dirty = True
        book.rows.clear()
        book.removed.clear()

    def commit(self, monotonic: float, *, now: bool = False) -> None:
        """Write what was gathered, now or when some seconds have gone by.

        Raises:
            CatalogError: the catalog can't be written.
        """
        if (
            self._catalog is None
            or not self._dirty
            or not (now or monotonic - self._last_commit > _COMMIT_SECONDS)
        ):
            return
        self._catalog.commit()
        self._last_commit = monotonic
        self._dirty = False

    def close(self) -> None:
        """Let go of the directories that were not finished (an interrupted scan)."""
        for book in self._open.values():
            book.directory.close()
        self._open.clear()
