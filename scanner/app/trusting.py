"""Whether a feed's list is believed: its bytes, signature and pinned keys go to `scanner.feeds.trust`.

This runs in our own process, before anything of the list is read: minisign's signatures are four lines of
fixed form and are verified here, OpenPGP's by gpgv in a process of its own (docs/decisions/0011).
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from scanner.config import FeedConfig
from scanner.feeds import FeedState, FeedStore
from scanner.feeds.pages import first_pages
from scanner.feeds.published import published
from scanner.feeds.signatures import address, beside, file_name, read_signature
from scanner.feeds.tree.notification import MAX_NOTIFICATION
from scanner.feeds.trust import (
    MINISIGN,
    Accepted,
    PublicKey,
    Published,
    TrustTerms,
    needs_content,
    parse_public_key,
    pinned,
    still_fresh,
    verify,
    verify_openpgp,
)
from scanner.feeds.trust.openpgp import MAX_KEYS, fingerprint, public_keys, signature_packet
from scanner.feeds.trust.remembered import accepted_from
from scanner.model.errors import ConfigError, FeedTrustError
from scanner.model.ports import Clock
from scanner.model.times import iso

if TYPE_CHECKING:
    from scanner.pipeline.feed_processes import FeedProcesses

log = structlog.get_logger("hostsweep.feeds")


def is_signed(feed: FeedConfig) -> bool:
    """Whether an unverified list of this feed is never loaded."""
    return feed.signature.kind is not None


def may_be_loaded(feed: FeedConfig, state: FeedState) -> bool:
    """Whether the list in use was believed, or need not be."""
    return not is_signed(feed) or bool(state.trust)


def signature_address(feed: FeedConfig) -> str:
    """Where the signature of a feed's list is; "" for an unsigned one."""
    kind = feed.signature.kind
    if kind is None or feed.exchange is not None:  # a tree brings its signature along
        return ""
    return feed.signature.url or address(feed.url, kind)


def signature_of(feed: FeedConfig, file: Path, named: Path | None) -> bytes:
    """The signature of a list that is imported by hand: the file named, or the one beside it; blocking.

    Raises:
        FeedError: it can't be read.
    """
    kind = feed.signature.kind
    if kind is None:
        return b""
    place = named or beside(file, kind)
    return b"" if place is None else read_signature(place)


def terms_of_trust(feed: FeedConfig) -> TrustTerms:
    """What the operator wants of a feed's signatures."""
    wanted = feed.signature
    return TrustTerms(
        feed=wanted.feed or feed.name,
        file=wanted.file or file_name(feed.url),
        max_age_ns=int(wanted.max_age * 1e9),
        require_serial=wanted.require_serial,
        require_name=wanted.require_name,
    )


@dataclass(frozen=True, slots=True)
class ListTrust:
    """Decides on lists of feeds that have to be signed."""

    processes: Callable[[], FeedProcesses]
    clock: Clock
    store: FeedStore
    work: Path

    async def believe(self, feed: FeedConfig, signature: bytes, descriptor: int) -> Accepted:
        """Verify a list that is at hand.

        Args:
            descriptor: of a file of our own, which nobody else can write.

        Raises:
            FeedTrustError: it is not believed.
            ConfigError: a pinned key can't be used, or there is no gpgv.
        """
        last = await asyncio.to_thread(self._last, feed)
        now, terms = self.clock.now_ns(), terms_of_trust(feed)
        if feed.signature.kind == MINISIGN:
            content = needs_content(signature)
            of = await asyncio.to_thread(published, descriptor, content=content)
            return verify(of, signature, await asyncio.to_thread(_minisign_keys, feed), last, now, terms)
        keys = await asyncio.to_thread(_openpgp_keys, feed)
        packet = signature_packet(signature)
        code, status = await self.processes().ask_gpgv(packet, keys, descriptor, self.work)
        of = await asyncio.to_thread(published, descriptor)
        return verify_openpgp(of, signature, status, code, _fingerprints(feed), last, now, terms)

    async def believe_still(self, feed: FeedConfig, signature: bytes) -> Accepted | None:
        """Decide on the list in use where the server says that it has not changed; it is not at hand.

        Returns:
            why it is still believed; None where that takes the list itself.

        Raises:
            FeedTrustError: it is not: nobody signs any more that it is the newest, say.
        """
        state = self.store.state(feed.name)
        used = accepted_from(state.trust)
        if feed.signature.kind == MINISIGN and used.kind == MINISIGN and not needs_content(signature):
            last = await asyncio.to_thread(self._last, feed)
            keys = await asyncio.to_thread(_minisign_keys, feed)
            of = Published(bytes.fromhex(used.digest))
            return verify(of, signature, keys, last, self.clock.now_ns(), terms_of_trust(feed))
        if used.kind != feed.signature.kind or hashlib.sha256(signature).hexdigest() != used.signature:
            return None
        if used.kind != MINISIGN and used.key not in _fingerprints(feed):
            return None
        still_fresh(used, self.clock.now_ns(), terms_of_trust(feed))
        return used

    async def believe_tree(self, feed: FeedConfig, descriptor: int) -> Accepted:
        """Verify what was fetched of a published tree: its notification, which has the digests of all else.

        Args:
            descriptor: of the file of pages; read from its beginning, and left there.

        Raises:
            FeedTrustError: it is not believed.
            FeedFormatError: these are not the pages of a tree.
        """
        told, signature = await asyncio.to_thread(first_pages, descriptor, 2, MAX_NOTIFICATION)
        last = await asyncio.to_thread(self._last, feed)
        of = Published(hashlib.blake2b(told).digest(), told)
        keys = await asyncio.to_thread(_minisign_keys, feed)
        return verify(of, signature, keys, last, self.clock.now_ns(), terms_of_trust(feed))

    def tree_still(self, feed: FeedConfig) -> Accepted:
        """Why a tree that has not changed is still believed; its publisher signs it anew in time.

        Raises:
            FeedTrustError: that was too long ago.
        """
        used = accepted_from(self.store.state(feed.name).trust)
        still_fresh(used, self.clock.now_ns(), terms_of_trust(feed))
        return used

    def _last(self, feed: FeedConfig) -> Accepted | None:
        """What was accepted last; that it is not known any more is never passed over without a word."""
        found, state = self.store.trust(feed.name).remembered(), self.store.state(feed.name)
        if found.known:
            return found.accepted
        if state.trust:
            return accepted_from(state.trust)
        if found.damaged or state.warning:
            log.warning("feed_trust_lost", feed=feed.name, reason=found.damaged or state.warning)
        return None

    def refuse(self, feed: FeedConfig, error: FeedTrustError, staged: Path | None, signature: bytes) -> None:
        """Keep aside what was not believed, and say so; blocking."""
        now, files = self.clock.now_ns(), self.store.trust(feed.name)
        log.error("feed_refused", feed=feed.name, reason=error.reason, error=error.what)
        if not feed.signature.keep_refused:
            files.drop_refused()
        elif staged is not None or signature:
            about = {"reason": error.reason, "error": str(error), "refused": iso(now)}
            files.keep_refused(staged, signature, about)


def _minisign_keys(feed: FeedConfig) -> dict[bytes, PublicKey]:
    where = f"feed {feed.name}: signature"
    keys = [parse_public_key(text, f"{where}.keys") for text in feed.signature.keys]
    for path in feed.signature.key_files:
        keys.append(parse_public_key(_read(path).decode("utf-8", "replace"), str(path)))
    return pinned(keys)


def _openpgp_keys(feed: FeedConfig) -> bytes:
    return b"".join(public_keys(_read(path), str(path)) for path in feed.signature.key_files)


def _fingerprints(feed: FeedConfig) -> frozenset[str]:
    where = f"feed {feed.name}: signature.keys"
    return frozenset(fingerprint(text, where) for text in feed.signature.keys)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_KEYS + 1)
    except OSError as e:
        raise ConfigError(f"the public key can't be read ({e.strerror})", where=str(path)) from e
