"""The feeds' directory: for each feed its state, and the snapshots of its last two good lists.

<root>/<feed>/state.json          FeedState
<root>/<feed>/snapshot-00000007   the list in use, and the one before it
<root>/<feed>/lock                held while the feed is synced
<root>/<feed>/trust.json, refused…  see `scanner.feeds.trusted`
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from scanner.feeds.staging import storage_errors
from scanner.feeds.state import SNAPSHOT_NAME, FeedState, from_json, shortened, to_json
from scanner.feeds.trust.rules import Accepted
from scanner.feeds.trusted import TrustFiles
from scanner.model.errors import BusyError, ConfigError, NotFoundError, StorageError
from scanner.system.durable import replace_file, sync_path
from scanner.system.locking import FileLock, LockHeld

# The name becomes a directory: no separator, no leading dot, 64 characters.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


_ACCEPTED_KEPT = 50  # records of a person's decisions: years of them, and a small file


class FeedStore:
    """Keeps the last good list of each feed, whatever goes wrong with the next.

    One process writes to a feed at a time: hold `lock` over fetching, building and recording. Reading
    needs no lock. All of it blocks for the time of small writes.

    Args:
        root: the directory of all feeds; made when first written to.

    Raises (all methods):
        ConfigError: not a feed's name.
        StorageError: the directory can't be used.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def list(self) -> Sequence[FeedState]:
        """The states of all feeds that were ever tried, by name."""
        with storage_errors(self._root):
            names = [e.name for e in os.scandir(self._root) if e.is_dir()] if self._root.exists() else []
        return [self.state(name) for name in sorted(names) if _NAME.fullmatch(name)]

    def state(self, name: str) -> FeedState:
        """What is known of a feed. A damaged state is set aside and made anew from the snapshots that are
        there, with a `warning`: the list stays in use, and is fetched again in any case. On disk that is done
        by the user alone to whom the directory belongs."""
        path = self._directory(name) / "state.json"
        with storage_errors(path):
            try:
                data = path.read_bytes()
            except FileNotFoundError:
                return FeedState(name)
        try:
            return from_json(name, data)
        except (ValueError, RecursionError) as e:
            return self._recovered(name, path, str(e))

    def current(self, name: str) -> Path | None:
        """The snapshot in use, None if the feed never had a good list."""
        return self._existing(name, self.state(name).current)

    def previous(self, name: str) -> Path | None:
        """The snapshot before it, to go back to."""
        return self._existing(name, self.state(name).previous)

    def trust(self, name: str) -> TrustFiles:
        """What was believed of a feed, and what was not."""
        return TrustFiles(self._directory(name))

    def promote(self, name: str, snapshot: Path, trust: Accepted | None = None) -> Path:
        """Put a finished snapshot into use; the one in use becomes the previous one, older ones go.

        Args:
            snapshot: a file or directory on the same file system; it is moved.
            trust: why its list is believed, None for an unsigned one.

        Returns:
            its new place.
        """
        state = self.state(name)
        directory = self._made(name)
        kept = [s for s in (state.current, state.previous) if self._existing(name, s) is not None]
        number = max((int(s[-8:]) for s in self._snapshots(name)), default=0) + 1
        target = directory / f"snapshot-{number:08d}"
        if trust is not None:  # first: a crash may leave the old list in use, never the way back to it open
            self.trust(name).remember(trust, target.name)
        with storage_errors(snapshot):
            for above in (self._root.parent, self._root):  # they may be new, or made by one who died
                sync_path(above)
            sync_path(snapshot)
            snapshot.rename(target)
            sync_path(directory)
        previous = kept[0] if kept else ""
        # What the publisher is asked with belongs to the list before. Kept until `record_success`, which a
        # crash may prevent, it would make "not modified" of a list that is not in use.
        self._write(
            replace(
                state,
                current=target.name,
                previous=previous,
                etag="",
                last_modified="",
                source_sha256="",
                memory="",
                trust={} if trust is None else asdict(trust),
            )
        )
        self._delete_all_but(name, {target.name, previous})
        return target

    def record_success(
        self,
        name: str,
        now_ns: int,
        *,
        etag: str,
        last_modified: str,
        source_sha256: str,
        format: str,
        counts: Mapping[str, Any],
        origin: str = "",
        guard: Mapping[str, int] | None = None,
        accepted: Mapping[str, Any] | None = None,
    ) -> FeedState:
        """A new list was fetched, imported and promoted; for `origin` and `guard` see FeedState.

        Args:
            accepted: one more record of FeedState's.
        """
        state = self.state(name)
        kept = list(state.accepted) if accepted is None else [*state.accepted, dict(accepted)]
        return self._write(
            replace(
                state,
                etag=etag,
                last_modified=last_modified,
                last_success_ns=now_ns,
                last_attempt_ns=now_ns,
                last_error="",
                source_sha256=source_sha256,
                origin=origin,
                format=format,
                counts=dict(counts),
                guard=dict(guard or {}),
                accepted=kept[-_ACCEPTED_KEPT:],
                results=state.counted("updated"),
                warning="",
            )
        )

    def record_not_modified(
        self,
        name: str,
        now_ns: int,
        *,
        etag: str = "",
        last_modified: str = "",
        memory: str = "",
        trust: Accepted | None = None,
    ) -> FeedState:
        """The list in use is still the publisher's current one; `trust` where it was signed anew."""
        state = self.state(name)
        if trust is not None:
            self.trust(name).remember(trust, state.current)
        return self._write(
            replace(
                state,
                etag=etag or state.etag,
                last_modified=last_modified or state.last_modified,
                memory=memory or state.memory,
                trust=state.trust if trust is None else asdict(trust),
                last_success_ns=now_ns,
                last_attempt_ns=now_ns,
                last_error="",
                results=state.counted("not_modified"),
            )
        )

    def record_failure(self, name: str, error: str, now_ns: int, *, refused: Sequence[str] = ()) -> FeedState:
        """An attempt failed; the list in use stays, and grows older.

        Args:
            refused: why a list was refused, if that was it.
        """
        state = self.state(name)
        refusals = dict(state.refusals)
        for check in refused:
            refusals[check] = refusals.get(check, 0) + 1
        return self._write(
            replace(
                state,
                last_attempt_ns=now_ns,
                last_error=shortened(error) or "unknown error",
                refusals=refusals,
                results=state.counted("failed"),
            )
        )

    def forget(self, name: str) -> None:
        """Remove all there is of a feed; whoever has its list open keeps that.

        Raises:
            NotFoundError: there is nothing.
            BusyError: another process has it.
        """
        directory = self._directory(name)
        with storage_errors(directory):
            if not directory.is_dir() or directory.is_symlink():
                raise NotFoundError("nothing is kept of this feed", where=f"feed {name}")
        with self.lock(name), storage_errors(directory):
            shutil.rmtree(directory)
            sync_path(self._root)

    def lock(self, name: str) -> FileLock:
        """Take the feed for this process, until released.

        Raises:
            BusyError: another process has it.
        """
        path = self._made(name) / "lock"
        try:
            with storage_errors(path):
                return FileLock.acquire(path)
        except StorageError as e:
            if isinstance(e.__cause__, LockHeld):
                holder = e.__cause__.holder or "unknown"
                raise BusyError(
                    f"process {holder} is syncing it", where=f"feed {name}", remedy="Wait until it is done"
                ) from e
            raise

    # Files

    def _directory(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise ConfigError(
                "expected a feed's name of 1 to 64 letters, digits, dots, dashes and underscores",
                where=repr(name[:80]),
            )
        return self._root / name

    def _made(self, name: str) -> Path:
        directory = self._directory(name)
        with storage_errors(directory):
            self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
            directory.mkdir(mode=0o700, exist_ok=True)
        return directory

    def _existing(self, name: str, snapshot: str) -> Path | None:
        path = self._directory(name) / snapshot
        return path if snapshot and path.exists() else None

    def _snapshots(self, name: str) -> Sequence[str]:
        """Names of all snapshots that lie there, oldest first."""
        directory = self._directory(name)
        with storage_errors(directory):
            found = os.listdir(directory) if directory.exists() else []
        return sorted(s for s in found if SNAPSHOT_NAME.fullmatch(s))

    def _delete_all_but(self, name: str, kept: set[str]) -> None:
        for snapshot in set(self._snapshots(name)) - kept:
            path = self._directory(name) / snapshot
            with storage_errors(path):
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)

    def _write(self, state: FeedState) -> FeedState:
        """Put a state in place of the old one, durably and in one step."""
        path = self._made(state.name) / "state.json"
        with storage_errors(path):
            replace_file(path, to_json(state))
        return state

    def _recovered(self, name: str, path: Path, why: str) -> FeedState:
        aside = path.with_name("state.json.damaged")
        found = [*reversed(self._snapshots(name)), "", ""]
        warning = f"state.json was damaged ({why}) and is set aside as {aside.name}"
        believed = self.trust(name).remembered()
        trust = asdict(believed.accepted) if believed.accepted and believed.snapshot == found[0] else {}
        made = FeedState(name, current=found[0], previous=found[1], trust=trust, warning=warning)
        with storage_errors(path):
            if path.parent.stat().st_uid != os.geteuid():
                return made  # whoever else reads, only the user who syncs writes here
            path.replace(aside)
        return self._write(made)
