"""The files beside a feed's state that have to do with trust.

<feed>/trust.json         what was accepted last: the next list is compared with it
<feed>/refused-list       the last list that was not believed, as it came: nothing of it was ever read
<feed>/refused-signature  and what came as its signature
<feed>/refused.json       when that was, and why
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scanner.feeds.staging import storage_errors
from scanner.feeds.trust.remembered import MAX_FILE, from_file, to_file
from scanner.feeds.trust.rules import Accepted
from scanner.system.durable import replace_file

_LIST, _SIGNATURE, _ABOUT = "refused-list", "refused-signature", "refused.json"


@dataclass(frozen=True, slots=True)
class Remembered:
    """What trust.json says.

    Attributes:
        accepted: what was accepted last; None where nothing was, or it was forgotten by order.
        snapshot: name of the index of that list, "" for none.
        known: it could be read. Where it could not, `accepted` None says nothing.
        damaged: why it could not, "" where it is not there at all.
    """

    accepted: Accepted | None = None
    snapshot: str = ""
    known: bool = True
    damaged: str = ""


class TrustFiles:
    """Those of one feed; who syncs the feed writes them, and holds its lock.

    Args:
        directory: the feed's, which exists when something is written.

    Raises (all methods):
        StorageError: a file can't be read or written.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def remembered(self) -> Remembered:
        """What was accepted last. A damaged file is set aside by the user to whom the directory belongs."""
        path = self._directory / "trust.json"
        with storage_errors(path):
            try:
                with path.open("rb") as file:
                    data = file.read(MAX_FILE + 1)
            except FileNotFoundError:
                return Remembered(known=False)
        try:
            if len(data) > MAX_FILE:
                raise ValueError("it is too long")
            return Remembered(*from_file(data))
        except ValueError as e:
            with storage_errors(path):
                if self._directory.stat().st_uid == os.geteuid():
                    path.replace(path.with_name("trust.json.damaged"))
            return Remembered(known=False, damaged=str(e))

    def remember(self, accepted: Accepted | None, snapshot: str) -> None:
        """Compare the next list with this; None: with nothing, which is remembered as well."""
        _replace(self._directory / "trust.json", to_file(accepted, snapshot))

    def keep_refused(self, staged: Path | None, signature: bytes, about: Mapping[str, Any]) -> None:
        """Keep a list that was not believed in place of the one before.

        Args:
            staged: the list, which is moved; on the same file system, mode 0600.
            about: JSON-able.
        """
        self.drop_refused()
        with storage_errors(self._directory):
            if staged is not None and staged.exists():
                staged.replace(self._directory / _LIST)
        _replace(self._directory / _SIGNATURE, signature)
        _replace(self._directory / _ABOUT, json.dumps(about, indent=1).encode() + b"\n")

    def drop_refused(self) -> None:
        """Delete what was kept of a refused list."""
        for name in (_ABOUT, _LIST, _SIGNATURE):
            with storage_errors(self._directory / name):
                (self._directory / name).unlink(missing_ok=True)


def _replace(path: Path, data: bytes) -> None:
    with storage_errors(path):
        replace_file(path, data)
