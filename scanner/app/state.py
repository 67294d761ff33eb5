"""The state directory: what lies where, and that it is ours."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from scanner.model.errors import StorageError
from scanner.system.locking import Owners


def default_state_directory() -> Path:
    """/var/lib/hostsweep as root, $XDG_STATE_HOME/hostsweep otherwise."""
    if os.geteuid() == 0:
        return Path("/var/lib/hostsweep")
    base = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(base) / "hostsweep"


@dataclass(frozen=True, slots=True)
class StateDirectory:
    """Paths below the state directory.

    Attributes:
        path: absolute.
        quarantine: the vault; by default below `path`, elsewhere if the configuration says so.
        feeds_directory: where the configured feeds are if not below `path`.
        feeds_are_ours: False where another service, under another user, syncs them: nothing is written there
        then.
    """

    path: Path
    quarantine: Path
    feeds_directory: Path | None = None
    feeds_are_ours: bool = True

    @property
    def ledger(self) -> Path:
        return self.path / "ledger.sqlite"

    @property
    def catalog(self) -> Path:
        return self.path / "catalog.sqlite"

    def inode_map(self, name: str, root: bytes) -> Path:
        """Where the last walk of a volume is kept by inode."""
        which = sha256(name.encode() + b"\0" + root).hexdigest()[:32]
        return self.walks / which

    @property
    def walks(self) -> Path:
        """The last walks of volumes by inode, where file systems can say what changed since."""
        return self.path / "walks"

    @property
    def gaps(self) -> Path:
        """What scans could not look at, and since when."""
        return self.path / "gaps.sqlite"

    @property
    def feeds(self) -> Path:
        """The configured feeds."""
        return self.feeds_directory or self.adhoc_feeds

    @property
    def feeds_work(self) -> Path:
        """Half-fetched and half-built lists of configured feeds: on the same file system as these."""
        return self.work if self.feeds_directory is None else self.feeds_directory / ".work"

    @property
    def adhoc_feeds(self) -> Path:
        """Lists named on the command line."""
        return self.path / "feeds"

    @property
    def suppressions(self) -> Path:
        """Entries of lists that don't act for a while, by a person's decision."""
        return self.path / "suppressions.json"

    @property
    def kinds(self) -> Path:
        """Perceptual kinds that lists have brought, where these are computed by themselves."""
        return self.path / "kinds.json"

    @property
    def owners(self) -> Path:
        return self.path / "owners"

    @property
    def work(self) -> Path:
        """Half-fetched and half-built lists; emptied at the start of whoever syncs."""
        return self.path / "work"

    @property
    def daemon_lock(self) -> Path:
        return self.path / "daemon.lock"

    def prepare(self) -> None:
        """Make the directories, readable by us alone.

        Raises:
            StorageError: they can't be made, or belong to somebody else.
        """
        for directory in (self.path, self.adhoc_feeds, self.work):
            self._own(directory)
        if self.feeds_are_ours:
            self.prepare_feeds()

    def prepare_feeds(self) -> None:
        """Make the directories of the configured feeds, and nothing else.

        Raises:
            StorageError: they can't be made, or belong to somebody else.
        """
        for directory in (self.feeds, self.feeds_work):
            self._own(directory)

    @staticmethod
    def _own(directory: Path) -> None:
        remedy = "Name another directory with --state-dir, or run as the user that owns it"
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            st = directory.stat()
            if st.st_uid != os.geteuid() and os.geteuid() != 0:
                raise StorageError(
                    "this directory belongs to another user", where=str(directory), remedy=remedy
                )
            if stat.S_IMODE(st.st_mode) & 0o077:
                directory.chmod(0o700)
        except OSError as e:
            raise StorageError(
                f"the state directory can't be used ({e.strerror})", where=str(directory), remedy=remedy
            ) from e
        if not os.access(directory, os.W_OK | os.X_OK, effective_ids=True):
            raise StorageError("the state directory can't be written", where=str(directory), remedy=remedy)


class StateOwners(Owners):
    """Tokens of processes in the state directory; what goes wrong with it is a StorageError.

    Raises:
        StorageError: from `own`, `dead` and `sweep`: the directory can't be read or written.
    """

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._where = str(directory)

    def own(self, token: str) -> str:
        with self._told():
            return super().own(token)

    def dead(self, token: str) -> bool:
        with self._told():
            return super().dead(token)

    def sweep(self, named: Collection[str]) -> int:
        with self._told():
            return super().sweep(named)

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as e:
            raise StorageError(
                f"the state directory can't be used ({e.strerror})",
                where=self._where,
                remedy="Check free space, permissions and the disk",
            ) from e


def sweep(work: Path) -> None:
    """Remove what dead processes left half done; blocking."""
    for path in work.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
