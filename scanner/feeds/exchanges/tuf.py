"""Publishers that use The Update Framework: one target of their repository is the list.

python-tuf verifies: root, timestamp, snapshot, targets, in this order and by its rules (TUF specification
1.0, section 5). What is ours is the way to the server, what is remembered, and the target, which is streamed
and verified by its length and digests while it comes. All of it runs in the process that has the network and
no right to anything else.

Options:
    target        the list's path in the repository
    root_file     the root metadata that the publisher handed over, by another way than this one
    targets       address of the targets; `../targets/` of the feed's address, which is that of the metadata
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import importlib
import json
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import quote, urljoin

from scanner.feeds.exchanges.base import Call, Client, Outcome, Pages
from scanner.feeds.trust.errors import (
    BadSignatureError,
    FrozenError,
    RollbackError,
    SignatureFormError,
    WrongKeyError,
)
from scanner.model.errors import ConfigError, FeedError, FeedRefusedError, FeedTransportError

NAME = "tuf"
_OPTIONS = frozenset({"target", "root_file", "targets"})
_ROLES = ("root", "timestamp", "snapshot")
# Bytes of metadata that are taken. What is remembered has to fit into `MAX_MEMORY`, packed; a snapshot names
# a few roles, not files.
_MAX_ROOT, _MAX_TIMESTAMP, _MAX_SNAPSHOT, _MAX_TARGETS = 256 << 10, 16 << 10, 256 << 10, 5 << 20
_MAX_ROOTS = 64  # new ones at once: one a year is much
_PIECE = 16 << 20  # bytes of the target asked for at once
# The current directory, which is all that may be written. By its own path it may be out of reach: the ones
# above it are closed to the user this runs as, and tempfile makes every path absolute.
_HERE = "/proc/self/cwd"
_LOADED = (
    *("tuf.ngclient.updater", "tuf.api.metadata", "tuf.api.serialization.json", "securesystemslib.signer"),
    *(f"cryptography.hazmat.primitives.asymmetric.{name}" for name in ("ec", "ed25519", "padding", "rsa")),
    *("_strptime", "encodings.idna"),
)
_VERSION = 1  # of what is remembered


class TufExchange:
    """One target of a publisher that uses The Update Framework.

    Args:
        piece: bytes of the target that are asked for at once.
    """

    name = NAME
    format = "auto"

    def __init__(self, piece: int = _PIECE) -> None:
        self._piece = piece

    def check(self, options: Mapping[str, str]) -> str | None:
        """What is wrong with the options."""
        if unknown := sorted(options.keys() - _OPTIONS):
            return f"{unknown[0]}: unknown; expected {', '.join(sorted(_OPTIONS))}"
        for key in ("target", "root_file"):
            if not options.get(key):
                return f"{key}: this is required"
        if any(part in ("", ".", "..") for part in options["target"].split("/")):
            return "target: expected a path within the repository"
        return None

    async def sync(self, call: Call, client: Client, pages: Pages) -> Outcome:
        """Refresh the metadata, and take the target if it is another one.

        Raises:
            FeedTrustError: the metadata or the target is not believed.
            FeedTransportError: it could not be fetched.
        """
        load_tuf()
        pinned = call.files["root_file"]
        remembered = _Remembered.of(call.memory, pinned)
        with tempfile.TemporaryDirectory(dir=_HERE) as directory:
            place = Path(directory)
            loop = asyncio.get_running_loop()
            found = await asyncio.to_thread(_refresh, call, client, loop, place, remembered, pinned)
            memory = await asyncio.to_thread(_to_remember, place, pinned)
        if not found.hashes.keys() & {"sha256", "sha512"}:
            raise SignatureFormError("the publisher's metadata has no SHA-256 of the list")
        memory["target"] = f"{found.length} {sorted(found.hashes.items())}"
        if call.memory.get("target") == memory["target"]:
            return Outcome(memory, unchanged=True)
        await self._take(found, client, pages)
        return Outcome(memory)

    async def _take(self, found: _Target, client: Client, pages: Pages) -> None:
        """The target, verified by the time its last byte is written; on an error nothing of it is used."""
        digests = {name: hashlib.new(name) for name in found.hashes if name in ("sha256", "sha512")}
        at = 0
        while at < found.length:
            until = min(at + self._piece, found.length)
            body = await self._ask(found, client, at, until)
            for digest in digests.values():
                await asyncio.to_thread(digest.update, body)
            await pages.take(body)
            at += len(body)
        if any(digest.hexdigest() != found.hashes[name] for name, digest in digests.items()):
            raise BadSignatureError(
                "the list is not the one that the publisher's metadata names",
                remedy="It was changed or replaced on the server: ask the publisher",
            )

    async def _ask(self, found: _Target, client: Client, at: int, until: int) -> bytes:
        headers = {"Accept-Encoding": "identity"}
        if found.length > self._piece:
            headers["Range"] = f"bytes={at}-{until - 1}"
        try:
            reply = await client.get(found.url, headers=headers, limit=until - at)
        except FeedRefusedError as e:
            raise BadSignatureError(
                "the server sends more than the publisher's metadata says, or does not support ranges",
                remedy="Ask the publisher",
            ) from e
        if len(reply.body) != until - at:
            raise BadSignatureError(
                "the server sends less than the publisher's metadata says", remedy="Ask the publisher"
            )
        return reply.body


def load_tuf() -> None:
    """Load the library, which is an extra, and what it loads late itself, while files are within reach.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        for module in _LOADED:
            importlib.import_module(module)
    except ImportError:
        raise ConfigError(
            "exchange: tuf needs tuf, which is not installed", remedy="pip install 'hostsweep[tuf]'"
        ) from None


def trust_alone(memory: str) -> str:
    """What is remembered, without which list it came to: where that is not in use, it is taken once more, but
    no older metadata is believed for that. Both as JSON; "" where it is another protocol's."""
    try:
        found = json.loads(memory) if memory else None
    except (ValueError, RecursionError):
        return ""
    if not isinstance(found, dict) or found.get("tuf") != _VERSION:
        return ""
    return json.dumps({key: value for key, value in found.items() if key != "target"})


class _Target:
    """Where the list is, and what it has to be."""

    def __init__(self, url: str, length: int, hashes: Mapping[str, str]) -> None:
        self.url, self.length, self.hashes = url, length, hashes


class _Remembered:
    """The metadata that was believed last, by role; nothing at first, and when another root is pinned."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self.files = files

    @classmethod
    def of(cls, memory: Mapping[str, Any], pinned: bytes) -> _Remembered:
        told = memory.get("files")
        if (
            memory.get("tuf") != _VERSION
            or memory.get("pinned") != _sha256(pinned)
            or not isinstance(told, dict)
        ):
            return cls({})
        limits = dict(zip(_ROLES, (_MAX_ROOT, _MAX_TIMESTAMP, _MAX_SNAPSHOT), strict=True))
        return cls({role: _unpacked(told.get(role), limits[role]) for role in _ROLES})


def _refresh(
    call: Call,
    client: Client,
    loop: asyncio.AbstractEventLoop,
    place: Path,
    remembered: _Remembered,
    pinned: bytes,
) -> _Target:
    """Verify the publisher's metadata; in a thread, since python-tuf blocks."""
    from tuf.api.metadata import Metadata
    from tuf.ngclient.config import UpdaterConfig
    from tuf.ngclient.updater import Updater

    for role in ("timestamp", "snapshot"):
        if data := remembered.files.get(role):
            (place / f"{role}.json").write_bytes(data)
    config = UpdaterConfig(
        max_root_rotations=_MAX_ROOTS,
        root_max_length=_MAX_ROOT,
        timestamp_max_length=_MAX_TIMESTAMP,
        snapshot_max_length=_MAX_SNAPSHOT,
        targets_max_length=_MAX_TARGETS,
    )
    bootstrap = remembered.files.get("root") or pinned
    base = call.url if call.url.endswith("/") else f"{call.url}/"
    with _errors():
        fetcher = _fetcher(client, loop)
        updater = Updater(str(place), base, fetcher=fetcher, config=config, bootstrap=bootstrap)
        updater.refresh()
        info = updater.get_targetinfo(call.options["target"])
        if info is None:
            raise FeedTransportError(
                "the publisher's metadata names no such target", remedy="Correct the feed's options: target"
            )
        root: Any = Metadata.from_bytes((place / "root.json").read_bytes()).signed
    directory, slash, name = info.path.rpartition("/")
    if root.consistent_snapshot:
        name = f"{next(iter(info.hashes.values()))}.{name}"
    targets = call.options.get("targets") or urljoin(base, "../targets/")
    url = urljoin(targets if targets.endswith("/") else f"{targets}/", quote(f"{directory}{slash}{name}"))
    return _Target(url, info.length, dict(info.hashes))


def _fetcher(client: Client, loop: asyncio.AbstractEventLoop) -> Any:
    """python-tuf's way to the server: our client, with its limits and rules."""
    from tuf.api.exceptions import DownloadHTTPError
    from tuf.ngclient.fetcher import FetcherInterface

    class Fetcher(FetcherInterface):
        def _fetch(self, url: str) -> Iterator[bytes]:
            raise NotImplementedError

        def download_bytes(self, url: str, max_length: int) -> bytes:
            """As python-tuf has it; errors of ours go through it."""
            answer = client.get(url, limit=max_length, accept=frozenset({403, 404}))
            reply = asyncio.run_coroutine_threadsafe(answer, loop).result()
            if reply.status in (403, 404):  # how the end of the roots is told
                raise DownloadHTTPError(f"the server answered {reply.status}", reply.status)
            return reply.body

    return Fetcher()


@contextmanager
def _errors() -> Iterator[None]:
    """python-tuf's errors as ours: each is one of its threats."""
    from tuf.api import exceptions as tuf

    try:
        yield
    except FeedError:
        raise
    except tuf.ExpiredMetadataError as e:
        _refused(
            FrozenError, "the publisher's metadata has expired: a newer list may be held back from you", e
        )
    except tuf.BadVersionNumberError as e:
        _refused(RollbackError, "the publisher's metadata is older than what was accepted before", e)
    except tuf.UnsignedMetadataError as e:
        _refused(
            WrongKeyError, "too few of the keys that have to sign the publisher's metadata have done so", e
        )
    except tuf.LengthOrHashMismatchError as e:
        _refused(BadSignatureError, "parts of the publisher's metadata don't belong together", e)
    except (tuf.RepositoryError, ValueError, KeyError) as e:
        _refused(SignatureFormError, "the publisher's metadata, or the pinned root, can't be read", e)
    except tuf.DownloadHTTPError as e:
        raise FeedTransportError(
            f"the server answered {e.status_code} for the publisher's metadata", remedy="Check the feed's url"
        ) from e
    except tuf.DownloadError as e:
        raise FeedTransportError("the publisher's metadata could not be fetched") from e


def _refused(kind: type[FeedError], what: str, cause: Exception) -> NoReturn:
    raise kind(what, remedy="The last good list stays in use; ask the publisher") from cause


def _to_remember(place: Path, pinned: bytes) -> dict[str, Any]:
    files = {role: _packed((place / f"{role}.json").read_bytes()) for role in _ROLES}
    return {"tuf": _VERSION, "pinned": _sha256(pinned), "files": files}


def _packed(data: bytes) -> str:
    return base64.b64encode(zlib.compress(data, 9)).decode()


def _unpacked(text: object, limit: int) -> bytes:
    """The bytes of something remembered; b"" where it is damaged."""
    try:
        unpacker = zlib.decompressobj()
        data = (
            unpacker.decompress(base64.b64decode(text, validate=True), limit)
            if isinstance(text, str)
            else b""
        )
        return data if unpacker.eof else b""
    except (ValueError, zlib.error):
        return b""


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
