"""One list from one server into one file: whole or not at all, going on where it was cut.

A transfer that breaks off is taken up again within the same sync, as RFC 9110 (13.1.5, 14) has it: the rest
is asked for on condition that the list is still the same one (If-Range with a strong ETag, or a Last-Modified
that is old enough to be one). The digest and the limits are always those of the whole file.

What is kept is the list as it is published, since a signature is made over these bytes: a compression that we
asked for belongs to the transfer and is undone here; one that we did not ask for is how the list lies on the
server, and stays. What was compressed for the transfer is not taken up again.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from scanner.feeds.compression import ACCEPTED, Unpacker, known_encoding
from scanner.feeds.fetching import Fetched
from scanner.feeds.retrying import TryAgainError, check_status, http_date
from scanner.feeds.staging import Staging, too_large
from scanner.feeds.wire import Wire
from scanner.model.errors import FeedTransportError

if TYPE_CHECKING:
    import aiohttp

_MAX_TAG = 1024  # characters of an ETag or Last-Modified that are kept; theirs have some 40
_RANGE = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(\d{1,19})")
# Seconds a list has to be old for its ETag to tell it from what takes its place: nginx makes it of the size
# and of the second of the last change.
_SECOND_OVER = 2
# Seconds between a Last-Modified and the answer's Date from which on it tells versions apart: it counts whole
# seconds, and clocks of servers that share the work differ (RFC 7232, 2.2.2 has these 60).
_OLD_ENOUGH = 60
_PACKED = (".gz", ".tgz", ".zst", ".zip", ".bz2", ".xz", ".7z", ".age", ".gpg", ".pgp")


@dataclass(frozen=True, slots=True)
class _Begun:
    """The answer whose body stands in the file, as far as it came.

    Attributes:
        encoding: how it is packed.
        validator: to ask for the rest with, "" where it can't be had.
        total: bytes of the whole, None where the server didn't say.
    """

    etag: str
    last_modified: str
    encoding: str = ""
    validator: str = ""
    total: int | None = None


class Transfer:
    """See above."""

    def __init__(self, wire: Wire, target: Staging) -> None:
        self._wire = wire
        self._request = wire.request
        self._target = target
        self._begun = _Begun("", "")

    async def attempt(self) -> Fetched:
        """One try, with its redirects. `Fetched.path` is left out.

        Raises:
            TryAgainError: it may go better later, and goes on from here then.
            FeedTransportError: it will not.
        """
        before = self._target.bytes
        resuming = bool(before and self._begun.validator)
        try:
            async with self._wire.answer("GET", self._wire.start, self._headers(resuming)) as response:
                return await self._taken(response, resuming)
        except TryAgainError as e:
            grown = self._target.bytes - before if self._begun.validator else 0
            e.progress = grown >= self._wire.policy.progress
            raise

    def _headers(self, resuming: bool) -> dict[str, str]:
        request = self._request
        if resuming:
            return {
                "Accept-Encoding": "identity",
                "Range": f"bytes={self._target.bytes}-",
                "If-Range": self._begun.validator,
            }
        headers = {"Accept-Encoding": ACCEPTED if self._compressed else "identity"}
        if request.etag:
            headers["If-None-Match"] = request.etag
        if request.last_modified:
            headers["If-Modified-Since"] = request.last_modified
        return headers

    @property
    def _compressed(self) -> bool:
        """Whether a compression is asked for. What is packed already gains nothing."""
        return self._request.compressed and not self._wire.start.path.lower().endswith(_PACKED)

    async def _taken(self, response: aiohttp.ClientResponse, resuming: bool) -> Fetched:
        request = self._request
        if response.status == 304 and not resuming and (request.etag or request.last_modified):
            etag, last_modified = _tags(response)
            return Fetched(
                None, etag or request.etag, last_modified or request.last_modified, not_modified=True
            )
        if resuming and response.status in (206, 416):
            await self._continue(response)
        else:
            check_status(response, frozenset({200}))
            await self._afresh(response)
        await self._whole()
        return Fetched(
            None,
            self._begun.etag,
            self._begun.last_modified,
            bytes=self._target.bytes,
            sha256=self._target.sha256,
        )

    async def _afresh(self, response: aiohttp.ClientResponse) -> None:
        """Take a list from its beginning; what was there of it before is gone."""
        self._begun = _Begun("", "")
        await self._target.restart()
        encoding = known_encoding(response.headers.get("Content-Encoding", ""))
        if encoding is None:
            raise FeedTransportError(
                "the server sent the list in an encoding that was not asked for",
                remedy="Have it published as it is, or as a gzip or zstd file",
            )
        announced, limit = response.content_length, self._request.max_bytes
        if announced is not None and announced > limit:
            raise too_large(limit)
        etag, last_modified = _tags(response)
        if encoding and self._compressed:
            self._begun = _Begun(etag, last_modified)
            await self._unpacked(response, Unpacker(encoding), limit)
        else:
            self._begun = _Begun(etag, last_modified, encoding, _validator(response), announced)
            await self._body(response)

    async def _body(self, response: aiohttp.ClientResponse) -> None:
        async for piece in self._wire.body(response):
            await self._target.write(piece)

    async def _unpacked(self, response: aiohttp.ClientResponse, unpacker: Unpacker, limit: int) -> None:
        received = 0
        async for piece in self._wire.body(response):
            received += len(piece)
            if received > limit:
                raise too_large(limit)
            for part in unpacker.feed(piece):
                await self._target.write(part)
        unpacker.finish()

    async def _continue(self, response: aiohttp.ClientResponse) -> None:
        """Take the rest of a list.

        Raises:
            TryAgainError: what came is not the rest of what is here; it begins afresh at the next try.
        """
        total = self._total(response)
        if total is None:
            self._begun = _Begun("", "")
            await self._target.restart()
            raise TryAgainError("the server did not go on where the transfer was cut")
        if total > self._request.max_bytes:
            raise too_large(self._request.max_bytes)
        self._wire.meter.resumed += 1
        self._begun = replace(self._begun, total=total)
        await self._body(response)

    def _total(self, response: aiohttp.ClientResponse) -> int | None:
        """Bytes of the whole list, where what comes is the rest of it; else None."""
        said = _RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
        if response.status != 206 or said is None:
            return None
        first, last, total = (int(number) for number in said.groups())
        etag, begun = response.headers.get("ETag", ""), self._begun
        fits = (
            first == self._target.bytes
            and first <= last < total
            and begun.total in (None, total)
            and response.content_length in (None, last - first + 1)
            and known_encoding(response.headers.get("Content-Encoding", "")) == begun.encoding
            and (not etag or etag == begun.etag)
        )
        return total if fits else None

    async def _whole(self) -> None:
        """Raises TryAgainError where the server announced more or less than came."""
        total, came = self._begun.total, self._target.bytes
        if total is None or came == total:
            return
        if came > total:
            self._begun = _Begun("", "")
            await self._target.restart()
        raise TryAgainError(f"{came} of {total} bytes came")


def _validator(response: aiohttp.ClientResponse) -> str:
    """What tells this version of the list from every other, for If-Range; "" if nothing does."""
    if response.headers.get("Accept-Ranges", "").strip().lower() == "none":
        return ""
    etag, age = _kept(response, "ETag"), _age(response)
    if etag:
        return "" if etag.startswith("W/") or (age is not None and age < _SECOND_OVER) else etag
    return _kept(response, "Last-Modified") if age is not None and age >= _OLD_ENOUGH else ""


def _tags(response: aiohttp.ClientResponse) -> tuple[str, str]:
    """ETag and Last-Modified to ask with the next time; none where a change within the same second would have
    the same ones, so that the next one were missed."""
    etag, modified, age = _kept(response, "ETag"), _kept(response, "Last-Modified"), _age(response)
    if age is not None and age < _SECOND_OVER and (not etag or _is_of_time(etag, modified)):
        return "", ""
    return etag, modified


def _is_of_time(etag: str, modified: str) -> bool:
    """Whether an ETag is nginx's: the time of the last change and the size, in hexadecimal."""
    time = http_date(modified)
    return time is not None and etag.removeprefix("W/").startswith(f'"{int(time.timestamp()):x}-')


def _age(response: aiohttp.ClientResponse) -> float | None:
    """Seconds since the list's last change, by the server's own clock; None if it doesn't say."""
    modified = http_date(response.headers.get("Last-Modified", ""))
    now = http_date(response.headers.get("Date", ""))
    return None if modified is None or now is None else (now - modified).total_seconds()


def _kept(response: aiohttp.ClientResponse, header: str) -> str:
    value = response.headers.get(header, "")
    return value if len(value) <= _MAX_TAG and value.isascii() and value.isprintable() else ""
