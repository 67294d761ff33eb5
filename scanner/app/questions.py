"""What a service is asked that has no list for us: hashes of known files that it has not answered lately.

The answers make the feed's list, which is matched like any other; so a "yes" becomes a case within seconds,
and nothing is asked while a file is being scanned.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from scanner.app.state import StateDirectory
from scanner.app.tools import profile
from scanner.catalog import Catalog
from scanner.config import Config, FeedConfig
from scanner.feeds.checks import refusal
from scanner.feeds.exchanges import Asker, available_exchanges
from scanner.index import OpenFeed, Snapshot
from scanner.model.hashes import KINDS, Digests
from scanner.pipeline.volume import Volume

_REMEMBER_DAYS = 30  # how long an answer is believed, where the feed's options don't say
_MOST = 100_000  # questions of one sync, likewise: at 20 a second they take an hour and a half
_DAY = 86_400 * 10**9


def asker_of(feed: FeedConfig) -> Asker | None:
    """What speaks with a feed's service, where that is one that is asked; None for all other feeds.

    Raises:
        ConfigError: an installed package's protocol can't be loaded.
    """
    exchange = available_exchanges().get(feed.exchange) if feed.exchange else None
    return exchange if isinstance(exchange, Asker) else None


class Questions:
    """Gathers questions for one feed; blocking.

    Args:
        benign: opened lists of what is known as harmless: nobody is asked about these.
        keyed: makes what a service is told of a hash, where it is told no whole ones.
    """

    def __init__(
        self,
        config: Config,
        state: StateDirectory,
        volumes: Sequence[Volume],
        benign: Sequence[OpenFeed],
        keyed: Callable[[str, bytes], bytes] | None = None,
    ) -> None:
        self._config = config
        self._state = state
        self._volumes = volumes
        self._benign = benign
        self._keyed = keyed

    def of(
        self, feed: FeedConfig, asker: Asker, answers: Snapshot | None, now_ns: int
    ) -> list[tuple[str, str]]:
        """Pairs of a hash and what is told of it, in hexadecimal; at most as many as the options say.

        Args:
            answers: the feed's list, None if there is none.

        Raises:
            CatalogError: the catalog can't be read.
        """
        kind = asker.kind(feed.options)
        most = int(feed.options.get("most", _MOST))
        oldest = now_ns - int(feed.options.get("remember_days", _REMEMBER_DAYS)) * _DAY
        asked: dict[bytes, None] = {}
        for digests in self._known():
            for value in _values(digests, kind):
                if value in asked or refusal(kind, value) or self._harmless(digests):
                    continue
                if answers is None or _answered_ns(answers, kind, value) <= oldest:
                    asked[value] = None
            if len(asked) >= most:
                break
        told = self._keyed if asker.keyed and self._keyed is not None else lambda _, value: value
        return [(value.hex(), told(kind, value).hex()) for value in list(asked)[:most]]

    def _known(self) -> Iterator[Digests]:
        if not self._state.catalog.exists():
            return
        catalog = Catalog.open(self._state.catalog, read_only=True)
        try:
            for volume in self._volumes:
                rows = catalog.volume(volume.name, volume.root, profile(self._config))
                for batch in rows.iterate():
                    yield from (digests for _, digests in batch)
        finally:
            catalog.close()

    def _harmless(self, digests: Digests) -> bool:
        return any(
            feed.snapshot.contains_exact(kind, value)
            for feed in self._benign
            for kind, value in digests.exact.items()
        )


def _values(digests: Digests, kind: str) -> list[bytes]:
    if KINDS[kind].exact:
        return [digests.exact[kind]] if kind in digests.exact else []
    quality = KINDS[kind].min_quality
    return [p.value for p in digests.perceptual if p.kind == kind and p.quality >= quality]


def _answered_ns(answers: Snapshot, kind: str, value: bytes) -> int:
    """When the service last said what it has of this; 0: never."""
    if KINDS[kind].exact:
        entries = answers.exact(kind, value)
    else:
        entries = tuple(entry for distance, entry in answers.near(kind, value, 0) if not distance)
    return max((e.about.added_ns for e in entries if e.about is not None), default=0)
