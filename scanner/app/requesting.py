"""What is asked of a feed's publisher, and what its answer means for the list in use."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import ExitStack, closing
from dataclasses import replace
from typing import Any

from scanner.app.listkeys import ListKeys, stored_under
from scanner.app.lists import ListKeeper
from scanner.app.questions import Questions, asker_of
from scanner.app.state import StateDirectory
from scanner.app.terms import terms_of
from scanner.app.trusting import signature_address
from scanner.app.volumes import volume_of
from scanner.config import Config, FeedConfig
from scanner.feeds import FeedState, Fetched, FetchRequest, ObjectStore
from scanner.feeds.exchanges import Asker
from scanner.feeds.exchanges.tuf import NAME as TUF
from scanner.feeds.exchanges.tuf import trust_alone
from scanner.hashing import plugged_kinds
from scanner.index import ListKey, OpenFeed, Snapshot
from scanner.model.errors import ConfigError
from scanner.model.hashes import HashKind
from scanner.model.ports import Clock


class Requests:
    """Makes requests with what is known of the lists in use."""

    def __init__(self, config: Config, state: StateDirectory, clock: Clock, keeper: ListKeeper) -> None:
        self._config = config
        self._state = state
        self._clock = clock
        self._keeper = keeper

    def first(self, feed: FeedConfig) -> FetchRequest:
        """How a feed is fetched, as if for the first time."""
        return FetchRequest(
            feed=feed.name,
            url=feed.url,
            max_bytes=feed.max_bytes,
            insecure=feed.insecure,
            bearer_file=feed.bearer_file,
            basic_file=feed.basic_file,
            **_reaching(feed),
            exchange=feed.exchange or "",
            options=dict(feed.options),
            now_ns=self._clock.now_ns(),
            signature=signature_address(feed),
        )

    def next(self, feed: FeedConfig) -> FetchRequest:
        """What is asked of the publisher, with what is known of the list in use; blocking.

        Raises:
            ConfigError: a key can't be used.
            StorageError: what is known can't be read.
        """
        state = self._keeper.store.state(feed.name)
        # A list that came from elsewhere, was read in another way or is stored under another key is no reason
        # not to fetch this one.
        have_list = self._have_list(state, feed)
        request = replace(self.first(feed), memory=self._memory(feed, state, have_list))
        if asker := asker_of(feed):
            request = replace(request, questions=self._questions(feed, asker, have_list))
        if have_list:
            request = replace(request, etag=state.etag, last_modified=state.last_modified)
        return request

    def changes(self, feed: FeedConfig, fetched: Fetched) -> bool:
        """What came are changes to the list in use; blocking. Answers are, but for the first ones."""
        return fetched.partial and self._have_list(self._keeper.store.state(feed.name), feed)

    def unchanged(self, feed: FeedConfig, fetched: Fetched) -> bool:
        """The publisher's list is the one in use."""
        state = self._keeper.store.state(feed.name)
        same = self._have_list(state, feed) and fetched.sha256 == state.source_sha256
        return fetched.not_modified or (same and not fetched.partial)

    def origin(self, feed: FeedConfig) -> str:
        """Where a feed comes from and how it is read, as a digest."""
        return _origin(feed, plugged_kinds(self._config.hashing.named))

    def _have_list(self, state: FeedState, feed: FeedConfig) -> bool:
        if state.origin != self.origin(feed):
            return False
        return stored_under(self._keeper.keys.made(), self._keeper.current(feed.name))

    def _memory(self, feed: FeedConfig, state: FeedState, have_list: bool) -> str:
        """What the publisher's protocol was told with the list in use."""
        if have_list:
            return self._told(state)
        # Which metadata was believed counts on, whatever became of the list, so that no older one is.
        return trust_alone(self._told(state)) if feed.exchange == TUF else ""

    def _told(self, state: FeedState) -> str:
        current = self._keeper.store.current(state.name)
        if state.memory or current is None:
            return state.memory
        return Snapshot.peek(current).memory

    def _questions(self, feed: FeedConfig, asker: Asker, have_list: bool) -> list[tuple[str, str]]:
        """What a service is to be asked about that has no list for us."""
        key, places = self._keeper.keys.made(), self._keeper.places()
        shared = self._shared_key(feed, asker)
        with ExitStack() as stack:

            def opened(name: str) -> Snapshot:
                return stack.enter_context(closing(self._keeper.opened(name, places[name], key)[0]))

            answers = opened(feed.name) if have_list else None
            benign = [
                OpenFeed(terms_of(other), opened(other.name))
                for other in self._config.feeds
                if other.polarity == "benign" and other.name in places
            ]
            volumes = [volume_of(volume) for volume in self._config.volumes]
            told = shared.digest if shared is not None else None
            questions = Questions(self._config, self._state, volumes, benign, told)
            return questions.of(feed, asker, answers, self._clock.now_ns())

    def _shared_key(self, feed: FeedConfig, asker: Asker) -> ListKey | None:
        shared = ListKeys(feed.shared_key_file, self._state.feeds).read() if feed.shared_key_file else None
        if asker.keyed and shared is None:
            raise ConfigError(
                "this service is asked with a key that it has as well",
                where=f"feed {feed.name}: shared_key_file",
                remedy="Name a file with the key that the service's operator gave you",
            )
        return shared


def _reaching(feed: FeedConfig) -> dict[str, Any]:
    """How the feed's server, store or folder is reached, as a FetchRequest has it."""
    return {
        "header_files": dict(feed.header_files),
        "ca_file": feed.ca_file,
        "certificate_file": feed.certificate_file,
        "certificate_key_file": feed.certificate_key_file,
        "allowed_hosts": feed.allowed_hosts,
        "proxy": feed.proxy or "",
        "proxy_basic_file": feed.proxy_basic_file,
        "compressed": feed.compressed,
        "newest_by": feed.newest_by,
        "max_age": feed.max_age,
        "store": ObjectStore(
            endpoint=feed.s3.endpoint or "",
            region=feed.s3.region,
            access_key_file=feed.s3.access_key_file,
            secret_key_file=feed.s3.secret_key_file,
            session_token_file=feed.s3.session_token_file,
        ),
    }


def _origin(feed: FeedConfig, plugged: Mapping[str, HashKind]) -> str:
    """A digest, as a URL may hold a secret."""
    said = [
        feed.url,
        feed.exchange,
        sorted(feed.options.items()),
        feed.format,
        sorted(feed.columns.items()),
        sorted((field, sorted(meant.items())) for field, meant in feed.values.items()),
        feed.header,
        feed.member,
        feed.delimiter,
        feed.encoding,
        feed.hash,
        *sorted(plugged),  # a list was read without a kind that wasn't there
        *((feed.s3.endpoint, feed.s3.region) if feed.url.startswith("s3:") else ()),
        str(feed.identity_file or ""),
    ]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()
