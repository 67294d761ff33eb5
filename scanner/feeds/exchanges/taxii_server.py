"""What is asked of a TAXII 2.1 server, and what its answers say; the order of it is in `taxii`."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from yarl import URL

from scanner.feeds.checks import shown
from scanner.feeds.exchanges.base import Client, Reply
from scanner.feeds.exchanges.durations import duration_ns
from scanner.feeds.shallow import ANY, Shallow
from scanner.feeds.times import SECOND, rfc3339, rfc3339_ns
from scanner.model.errors import FeedFormatError, FeedTransportError

MEDIA_TYPE = "application/taxii+json;version=2.1"
DEFAULT_API_ROOT = "default"
"""As `api_root`: the one that the server's discovery names so."""

IDENTITY = 6  # bytes
LARGEST_PAGE = 64 << 20  # bytes; a hundred thousand indicators
_MAX_NEXT = 4096  # characters: servers send a number, a UUID or a signed position
_SMALL = 4 << 20  # bytes of an answer that is no page: discovery, or the collections
_COLLECTION_ID = re.compile(r"[A-Za-z0-9._~-]{1,128}")
_COLLECTION_URL = re.compile(r"(?P<root>.*/)collections/(?P<id>[^/]+)(/objects)?/?")
_OBJECT = ("objects", ANY)

_EXPIRED = frozenset({400, 404})  # what servers answer to a `next` that they don't know any more
# Statuses with which a server tells, in a body of its own, why it doesn't answer (TAXII 2.1, 3.6.1).
_TOLD: Mapping[int, tuple[str, str]] = {
    400: ("does not understand the request", "Check the feed's options:"),
    401: ("does not know the user", "Check the feed's secret"),
    403: ("does not let this user read the collection", "Ask the publisher for the right to read it"),
    404: ("knows no such API root or collection", "Check the feed's url: and its option collection"),
    406: ("does not speak TAXII 2.1", "Ask the publisher for an API root of TAXII 2.1"),
    413: ("can't answer with so much at once", "Give the option limit a smaller number"),
    415: ("does not speak TAXII 2.1", "Ask the publisher for an API root of TAXII 2.1"),
    416: ("wants to be asked for ranges, as TAXII 2.0", "Ask the publisher for an API root of TAXII 2.1"),
}


@dataclass(frozen=True, slots=True)
class Settings:
    """The options of a feed.

    Attributes:
        api_root: "": the feed's address is the API root, or that of a collection. `default`: the address is
            that of the server's discovery. Else the API root's address, relative to the feed's.
        collection: its id or alias; "": the address names it, or there is only one that can be read.
        limit: objects that are asked for at once; servers send fewer as they like.
        overlap_ns: how long before the last date a poll begins.
        reconcile_ns: the longest time until the whole collection is read again.
        version: `last` or `all` versions of each object.
    """

    api_root: str = ""
    collection: str = ""
    limit: int = 1000
    overlap_ns: int = 5 * SECOND
    reconcile_ns: int = 86400 * SECOND
    version: str = "last"


def settings_of(options: Mapping[str, str]) -> Settings | str:
    """The settings, or what is wrong with the options, in a sentence."""
    known = ("api_root", "collection", "limit", "overlap", "reconcile", "version")
    for key in options:
        if key not in known:
            return f"'{shown(key)}' is no option of taxii; known: {', '.join(known)}"
    limit = options.get("limit", "1000")
    if not re.fullmatch("[1-9][0-9]{0,5}", limit):
        return "limit: expected a number from 1 to 999999"
    version = options.get("version", "last")
    if version not in ("last", "all"):
        return "version: expected last or all"
    overlap, reconcile = (
        duration_ns(options.get("overlap", "5s")),
        duration_ns(options.get("reconcile", "24h")),
    )
    if overlap is None or reconcile is None or not reconcile:
        return f"{'overlap' if overlap is None else 'reconcile'}: expected a time such as 5s, 30m, 24h or 7d"
    collection = options.get("collection", "")
    if collection and not _COLLECTION_ID.fullmatch(collection):
        return "collection: expected the id or the alias of a collection"
    return Settings(options.get("api_root", ""), collection, int(limit), overlap, reconcile, version)


@dataclass(frozen=True, slots=True)
class Page:
    """One answer.

    Attributes:
        body: as it came.
        more, next: as the server says; "" for no `next`.
        objects: what tells each version of an object from all others, `IDENTITY` bytes each.
        last_ns: the date that the last of them was added, None where the server doesn't tell.
    """

    body: bytes
    more: bool
    next: str
    objects: tuple[bytes, ...]
    last_ns: int | None


class Server:
    """Asks, and turns what goes wrong into errors of ours."""

    def __init__(self, client: Client, settings: Settings) -> None:
        self._client = client
        self._settings = settings

    async def objects_url(self, url: str) -> str:
        """The address of the objects of the feed's collection.

        Raises:
            FeedTransportError: the server has none such, or it is not said which.
        """
        start = URL(url)
        named = _COLLECTION_URL.fullmatch(start.path)
        if named is not None and not self._settings.api_root:
            if self._settings.collection not in ("", named["id"]):
                raise FeedTransportError(
                    "the address names another collection than the option collection does",
                    remedy="Leave one of them out",
                )
            return _below(start, named["root"], f"collections/{named['id']}/objects/")
        root = await self._api_root(start)
        collection = self._settings.collection or await self._only_collection(root)
        return _below(root, root.path, f"collections/{collection}/objects/")

    async def _api_root(self, start: URL) -> URL:
        wanted = self._settings.api_root
        if wanted == DEFAULT_API_ROOT:
            wanted = _string((await self._document(str(start), {()}, "default"))[0], "default")
            if not wanted:
                raise FeedTransportError(
                    "the server's discovery names no default API root",
                    remedy="Give the API root's address as the option api_root",
                )
        try:
            return start.join(URL(wanted)) if wanted else start
        except ValueError as e:
            raise FeedTransportError("the API root is no address") from e

    async def _only_collection(self, root: URL) -> str:
        address = _below(root, root.path, "collections/")
        found = await self._document(address, {("collections", ANY)}, "id", "can_read")
        ids = [_string(one, "id") for one in found if one.get("can_read", True) is True]
        if len(ids) != 1 or not _COLLECTION_ID.fullmatch(ids[0]):
            raise FeedTransportError(
                f"the server has {len(ids)} collections that can be read",
                remedy="Name one in the option collection",
            )
        return ids[0]

    async def _document(self, url: str, places: set[tuple[str, ...]], *members: str) -> list[dict[str, Any]]:
        reply = await self._ask(url, {}, _SMALL)
        shallow = Shallow({place: frozenset(members) for place in places})
        return [records[-1] for _, records in _read(shallow, reply)]

    async def page(self, url: str, added_after_ns: int | None, next_page: str) -> Page | None:
        """One page; None where the server does not know `next_page` any more.

        Raises:
            FeedTransportError, FeedFormatError: the server refuses, or the answer is no envelope.
        """
        settings = self._settings
        params = {
            "limit": str(settings.limit),
            "match[type]": "indicator",
            "match[version]": settings.version,
        }
        if added_after_ns is not None:
            params["added_after"] = rfc3339(added_after_ns)
        if next_page:
            params["next"] = next_page
        reply = await self._ask(url, params, LARGEST_PAGE, _EXPIRED if next_page else frozenset())
        return None if reply.status in _TOLD else _page(reply)

    async def _ask(
        self, url: str, params: Mapping[str, str], limit: int, expired: frozenset[int] = frozenset()
    ) -> Reply:
        reply = await self._client.get(
            url, params=params, headers={"Accept": MEDIA_TYPE}, limit=limit, accept=frozenset(_TOLD)
        )
        if reply.status in _TOLD and reply.status not in expired:
            raise _refused(reply)
        return reply


def _page(reply: Reply) -> Page:
    shallow = Shallow({(): frozenset({"more", "next"}), _OBJECT: frozenset({"id", "modified", "created"})})
    objects = []
    envelope: dict[str, Any] = {}
    for path, records in _read(shallow, reply):
        if path == _OBJECT:
            objects.append(_identity(records[-1]))
        else:
            envelope = records[-1]
    more, following = envelope.get("more", False), envelope.get("next")
    if not isinstance(more, bool):
        raise FeedFormatError("expected true or false", where="more")
    if following is not None and (not isinstance(following, str) or len(following) > _MAX_NEXT):
        raise FeedFormatError(f"expected a text of at most {_MAX_NEXT} characters", where="next")
    last = rfc3339_ns(reply.headers.get("x-taxii-date-added-last", "").strip())
    return Page(reply.body, more, following or "", tuple(objects), last)


def _identity(record: Mapping[str, Any]) -> bytes:
    """What tells one version of an object from all others, in six bytes: of 30,000 that are remembered,
    a new one is taken for known once in ten thousand million times, and then found when all is read again."""
    told = "\n".join(str(record.get(member)) for member in ("id", "modified", "created"))
    return hashlib.blake2b(told.encode("utf-8", "replace"), digest_size=IDENTITY).digest()


def _read(shallow: Shallow, reply: Reply) -> Iterator[tuple[tuple[str, ...], list[dict[str, Any]]]]:
    kind = reply.headers.get("content-type", "").casefold()
    if "html" in kind or "vnd.oasis" in kind:
        what = "an HTML page" if "html" in kind else "TAXII 2.0"
        raise FeedTransportError(
            f"the server answers with {what}, expected TAXII 2.1",
            remedy="Look at the address, and ask the publisher for an API root of TAXII 2.1",
        )
    return shallow.read(io.BytesIO(reply.body))


def _refused(reply: Reply) -> FeedTransportError:
    """An error with the server's own title, as far as it can't be a digest."""
    what, remedy = _TOLD[reply.status]
    title = ""
    try:
        told = [
            records[-1] for _, records in Shallow({(): frozenset({"title"})}).read(io.BytesIO(reply.body))
        ]
        title = _string(told[0], "title") if told else ""
    except FeedFormatError:
        pass  # a page of a proxy's, or nothing
    more = f": {shown(title)}" if title else ""
    return FeedTransportError(f"the server {what} ({reply.status}){more}", remedy=remedy)


def _string(record: Mapping[str, Any], member: str) -> str:
    value = record.get(member, "")
    return value if isinstance(value, str) else ""


def _below(url: URL, root: str, path: str) -> str:
    """The address of `path` below `root`; what stands after a ? stays."""
    return str(url.with_path(f"{root.rstrip('/')}/{path}").with_query(url.query))
