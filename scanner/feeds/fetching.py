"""What is told to a fetch and what comes of it: plain values that pass between processes."""

from __future__ import annotations

import builtins
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from scanner.feeds.reading import DEFAULT_MAX_BYTES


@dataclass(frozen=True, slots=True)
class ObjectStore:
    """Where an `s3://` address leads.

    Attributes:
        endpoint: of the service, "" for Amazon's of that region.
        region: as the service names it.
        access_key_file, secret_key_file, session_token_file: hold the credentials; the last is for temporary
            ones.
    """

    endpoint: str = ""
    region: str = "us-east-1"
    access_key_file: Path | None = None
    secret_key_file: Path | None = None
    session_token_file: Path | None = None


@dataclass(frozen=True, slots=True)
class FetchRequest:
    """What to fetch.

    Attributes:
        feed: its name, for errors.
        url: https://, s3://, file://, or http:// from this machine. A file:// that ends with / is a drop
            folder.
        etag, last_modified: as the last answer said, "" to get it in any case.
        insecure: http:// from another machine is accepted.
        allowed_hosts: redirects, and addresses that a publisher's answers name, may lead to these besides the
            address's own host (by https).
        bearer_file, basic_file: hold a token, or user:password; read anew each time.
        header_files: hold the values of further headers, by name.
        ca_file: certificates of the authorities that are trusted in place of the system's; PEM.
        certificate_file, certificate_key_file: what this machine shows the publisher's server; PEM.
        proxy, proxy_basic_file: address of a proxy, and a file with user:password for it. Without, the
            environment's are used.
        compressed: the server is asked to compress the list for the transfer.
        store: what an s3:// address needs.
        newest_by: which list of a drop folder is the newest: by "time" or by "name".
        max_age: seconds after which an unchanged drop folder counts as failed, 0 for never.
        max_bytes: most that is taken.
        exchange: the publisher's protocol, "" for a list that is one file.
        signature: address of its signature, "" for none.
        options, memory, now_ns, questions: as `scanner.feeds.exchanges.Call` has them; `memory` is JSON, ""
            for none, a question the pair of its values in hexadecimal.
    """

    feed: str
    url: str
    etag: str = ""
    last_modified: str = ""
    insecure: bool = False
    allowed_hosts: tuple[str, ...] = ()
    bearer_file: Path | None = None
    basic_file: Path | None = None
    header_files: Mapping[str, Path] = field(default_factory=dict)
    ca_file: Path | None = None
    certificate_file: Path | None = None
    certificate_key_file: Path | None = None
    proxy: str = ""
    proxy_basic_file: Path | None = None
    compressed: bool = False
    store: ObjectStore = ObjectStore()
    newest_by: str = "time"
    max_age: float = 0
    max_bytes: int = DEFAULT_MAX_BYTES
    exchange: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    memory: str = ""
    now_ns: int = 0
    questions: Sequence[tuple[str, str]] = ()
    signature: str = ""

    def told(self) -> dict[str, Any]:
        """As JSON has it; `of` reads it."""
        return {key: _told(value) for key, value in asdict(self).items()}

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> FetchRequest:
        """From what `told` says."""
        values = dict(told)
        values["header_files"] = {name: Path(path) for name, path in values["header_files"].items()}
        values["allowed_hosts"] = tuple(values["allowed_hosts"])
        values["store"] = ObjectStore(**_paths(values["store"]))
        return cls(**_paths(values))


def _told(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _told(part) for key, part in value.items()}
    return str(value) if isinstance(value, Path) else value


def _paths(values: dict[str, Any]) -> dict[str, Any]:
    return {
        key: Path(value) if key.endswith("_file") and value is not None else value
        for key, value in values.items()
    }


@dataclass(frozen=True, slots=True)
class FetchPolicy:
    """Limits of fetching; times in seconds.

    Attributes:
        total: for one transfer; a list of 5 GB at 20 Mbit/s takes 35 minutes.
        connect: until connected.
        answer: from asking to the end of the answer's headers, connecting and sending included.
        read: between two pieces that come.
        least_rate, window: bytes a second that have to come on average over each window of waiting; who
            sends less could keep a fetch busy until its very end.
        attempts: tries in a row that come to nothing.
        progress: bytes by which a resumed transfer has to grow in one try for that try not to count.
        most_attempts: tries in all.
        first_wait, longest_wait: the waits between tries double from one to the other.
        longest_retry_after: a server's own wish is followed that far.
        redirects: followed one after another.
        settle: a file of a drop folder that was changed less long ago may still be written.
    """

    total: float = 3600
    connect: float = 30
    answer: float = 120
    read: float = 60
    least_rate: float = 1024
    window: float = 60
    attempts: int = 4
    progress: int = 1 << 20
    most_attempts: int = 64
    first_wait: float = 2
    longest_wait: float = 60
    longest_retry_after: float = 300
    redirects: int = 5
    settle: float = 10


@dataclass(frozen=True, slots=True)
class Traffic:
    """What a fetch took.

    Attributes:
        requests: that were sent, with redirects and tries.
        received: bytes of bodies, as they came over the wire.
        resumed: transfers that went on where they had been cut.
    """

    requests: int = 0
    received: int = 0
    resumed: int = 0


@dataclass(frozen=True, slots=True)
class Fetched:
    """What came.

    Attributes:
        path: the staging file, synced to disk; None where nothing changed.
        etag, last_modified: for the next time, "" where the server gives none.
        not_modified: the list is still the one these belong to.
        bytes, sha256: of the file, in hexadecimal; 0 and "" where nothing changed.
        memory: what a publisher's protocol wants to know the next time; JSON, "" for nothing.
        partial: these are changes to the list in use.
        traffic: what it took.
        signature: what came as its signature, b"" where there is none.
    """

    path: Path | None
    etag: str
    last_modified: str
    not_modified: bool = False
    bytes: int = 0
    sha256: str = ""
    memory: str = ""
    partial: bool = False
    traffic: Traffic = Traffic()
    signature: builtins.bytes = b""
