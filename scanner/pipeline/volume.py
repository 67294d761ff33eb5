"""A volume as the pipeline needs it: where it is, how it is walked, and how its paths are told to people."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Volume:
    """One tree of customers' files.

    Attributes:
        name: as in configuration and metrics.
        root: absolute path, as bytes.
        shown_as: the root as people know it (the host's path when run in a container); b"" for `root`.
        exclude: glob patterns.
        one_filesystem: don't enter other mounts.
        mail_ground: the stated ground for looking into mail stores; "" leaves them out.
        customer: pattern with one ``{customer}`` that tells whose a path is; "" for none.
        only: the one file below the root to look at; b"" for all.
        snapshots: walk directories of snapshots as well.
        stall_seconds: how long its storage may not answer before a scan ends.
    """

    name: str
    root: bytes
    shown_as: bytes = b""
    exclude: tuple[str, ...] = ()
    one_filesystem: bool = True
    mail_ground: str = ""
    customer: str = ""
    only: bytes = b""
    snapshots: bool = False
    stall_seconds: float = 300.0

    def shown(self, path: bytes) -> bytes:
        """The absolute path to tell people, for a path below the root."""
        base = (self.shown_as or self.root).rstrip(b"/")
        return base + b"/" + path if path else base or b"/"


class Customers:
    """Tells the customer's name from a path, by a pattern such as ``/srv/www/{customer}/``."""

    def __init__(self, pattern: str) -> None:
        self._expression: re.Pattern[str] | None = None
        if pattern:
            before, _, after = pattern.partition("{customer}")
            self._expression = re.compile(re.escape(before) + "([^/]+)" + re.escape(after), re.DOTALL)

    def of(self, shown_path: bytes) -> str:
        """The customer, or "" where the pattern doesn't fit."""
        if self._expression is None:
            return ""
        found = self._expression.match(shown_path.decode("utf-8", "surrogateescape"))
        return found.group(1) if found else ""
