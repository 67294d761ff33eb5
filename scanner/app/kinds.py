"""Which perceptual kinds are computed where `hashing.perceptual` says `auto`: PDQ, and what lists bring.

The set only grows, and is kept in `kinds.json` in the state directory: each change has every file read again,
and a list that carries a kind in one release and not in the next must not cause that twice. Who wants fewer
names them in the configuration. Kinds of plug-ins are computed where they are named.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from scanner.app.lists import Lists
from scanner.app.state import StateDirectory
from scanner.config import Config, FeedConfig
from scanner.model.errors import StorageError
from scanner.model.hashes import PERCEPTUAL_KINDS
from scanner.pipeline.reporting import Reporter
from scanner.system.durable import replace_file

EVENT = "perceptual_kind_added"


def settled(config: Config, state: StateDirectory, lists: Lists | None = None) -> Config:
    """The configuration with kinds in the place of `auto`: those known by now, and those that lists carry."""
    if not config.hashing.auto:
        return config
    kinds = {*_remembered(state.kinds), *(kind for feed in config.feeds for kind in _declared(feed))}
    kinds |= set(_brought(lists)) if lists is not None else set()
    perceptual = (*config.hashing.computed, *sorted(kinds.difference(config.hashing.computed)))
    hashing = config.hashing.model_copy(update={"perceptual": perceptual})
    return config.model_copy(update={"hashing": hashing})


def grown(config: Config, state: StateDirectory, lists: Lists, reporter: Reporter) -> Config:
    """The same for a scan with these lists: what they bring for the first time is remembered, and told.

    Raises:
        StorageError: it can't be remembered.
    """
    if not config.hashing.auto:
        return config
    now = settled(config, state, lists)
    new = set(now.hashing.perceptual).difference(settled(config, state).hashing.perceptual)
    if new:
        known = sorted(new | _remembered(state.kinds))
        try:
            replace_file(state.kinds, json.dumps({"version": 1, "perceptual": known}).encode())
        except OSError as e:
            raise StorageError(f"it can't be written ({e.strerror})", where=str(state.kinds)) from e
    for kind in sorted(new):
        feeds = [feed for feed, hashes in lists.index.acting.items() if hashes.get(kind)]
        reporter.note(
            EVENT, kind=kind, feeds=", ".join(feeds), effect="files that lack it are read again once"
        )
    return now


def _remembered(path: Path) -> set[str]:
    """What is on record; nothing where the file is missing or is none of ours: then it is found out anew."""
    try:
        kinds = json.loads(path.read_bytes())["perceptual"]
        return {kind for kind in kinds if kind in PERCEPTUAL_KINDS}
    except (OSError, ValueError, KeyError, TypeError):
        return set()


def _declared(feed: FeedConfig) -> Iterable[str]:
    """The kinds of which the configuration says that a feed has them."""
    named = (feed.hash, *(c.partition(":")[0] for c in feed.columns.values()))
    return (k for k in named if k in PERCEPTUAL_KINDS and feed.polarity == "illegal")


def _brought(lists: Lists) -> Iterable[str]:
    """The kinds of values that act; benign lists veto by exact hashes alone."""
    for feed in lists.feeds:
        if not feed.benign:
            hashes = lists.index.acting[feed.terms.name]
            yield from (kind for kind, number in hashes.items() if number and kind in PERCEPTUAL_KINDS)
