"""Errors by who has to act.

    ScannerError                 what happened, where, what to do; ends a command with `exit_code`
    ├── ConfigError              the operator's configuration or command line
    ├── FeedError                a publisher's list: the last good one stays
    │   ├── FeedFormatError      a line or JSON path that is not what the format says
    │   │   └── FeedMalformedError  too large a share of its records is not
    │   ├── FeedProcessError     the confined process that fetches or reads it died, hung or lied
    │   ├── FeedRefusedError     readable, but not to be used (empty, ambiguous, too large)
    │   ├── FeedTransportError   the list could not be fetched
    │   └── FeedTrustError       its signature is not believed; a class for each threat: scanner.feeds.trust
    ├── SourceError              the customers' file system: skip with a reason, go on
    ├── StorageError             our own storage: stop and say so
    │   ├── SnapshotError        an index file is damaged or of another version
    │   │   └── ListKeyError     it was made with another key than the one there is: it is fetched anew
    │   ├── CatalogError
    │   ├── LedgerError
    │   └── VaultError           the vault refused or could not keep something; the original stays
    │       ├── VaultFullError   there is no room for it
    │       └── SecurerError     the process that has the vault is not there, refused, or spoke nonsense
    ├── WorkerError              the hashing workers can't be started or keep dying
    ├── BusyError                another process holds what this one needs
    └── NotFoundError            an id or a name that isn't there (exit code 1)

Misuse of a room by another room is a RuntimeError and never caught.
"""

from __future__ import annotations


class ScannerError(Exception):
    """Base of all errors that are shown to a user: one sentence each, never a traceback.

    Args:
        what: what happened, and what was expected.
        where: the file, line, JSON path, key or address it happened at.
        remedy: what to do about it.
    """

    exit_code = 2

    def __init__(self, what: str, *, where: str = "", remedy: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.remedy = remedy

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        return f"{text}. {self.remedy}" if self.remedy else text


class ConfigError(ScannerError):
    """The configuration or the command line is wrong: the operator mends it."""


class FeedError(ScannerError):
    """A publisher's list can't be used: the last good list stays in use."""


class FeedFormatError(FeedError):
    """The list is not what its format says; `where` has the line number or the JSON path."""


class FeedMalformedError(FeedFormatError):
    """More of the list's records are malformed than the operator lets pass."""


class FeedProcessError(FeedError):
    """The process that fetches or reads a list died, hung, or answered what can't be: what it was given is to
    blame, or what it is confined by. Never our storage, which a hostile list could fake."""


class FeedRefusedError(FeedError):
    """The list can be read but must not be used: empty, ambiguous, implausible or too large."""


class FeedTransportError(FeedError):
    """The list could not be fetched: the network or the publisher's server."""


class FeedTrustError(FeedError):
    """The list's signature is not believed: nothing of it was read, and it is kept aside.

    Attributes:
        reason: the threat in one word, for metrics and scripts.
    """

    reason = "untrusted"


class SourceError(ScannerError):
    """The customers' file system failed: the file is counted with a reason and the scan goes on."""


class StorageError(ScannerError):
    """Our own storage failed: work stops and says so."""


class SnapshotError(StorageError):
    """An index snapshot is damaged, truncated or of another version: it is not used."""


class ListKeyError(SnapshotError):
    """An index snapshot was made with another key of lists, or that is missing: as if there were no list."""


class CatalogError(StorageError):
    """The catalog can't be read or written."""


class LedgerError(StorageError):
    """The ledger can't be read or written: nothing may be secured without it."""


class VaultError(StorageError):
    """The vault could not keep or give back an item; the original stays where it was."""


class VaultFullError(VaultError):
    """The vault has no room, by its own limits or by the file system's; the original stays where it was."""


class SecurerError(VaultError):
    """The process that has the vault can't be reached, refused, or said something that is no answer."""


class WorkerError(ScannerError):
    """Hashing workers can't be started, or die faster than they do work."""


class BusyError(ScannerError):
    """Another process holds what this one needs."""


class NotFoundError(ScannerError):
    """An id or a name that isn't there."""

    exit_code = 1
