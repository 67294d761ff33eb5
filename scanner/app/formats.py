"""List formats as the operator meets them: which there are, and whether a feed's configuration fits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from scanner.config import Config, FeedConfig
from scanner.config.problems import Problem, error_of
from scanner.feeds import FeedFormat, available_formats, our_formats
from scanner.feeds.detect import AUTO
from scanner.feeds.exchanges import available_exchanges
from scanner.feeds.formats.clamav import unusable
from scanner.feeds.formats.describing import describe, why_benign
from scanner.model.errors import FeedRefusedError
from scanner.model.feeds import Polarity


def check_formats(config: Config) -> None:
    """See that each feed's format exists and may be what its polarity says.

    Raises:
        ConfigError: with the line of each feed where that is not so; or a plug-in can't be loaded.
    """
    named = {feed.format for feed in config.feeds if feed.format != AUTO}
    formats = {name: form for each in named for name, form in our_formats(each).items()}
    if not named <= formats.keys():
        formats = dict(available_formats())  # others' code is loaded only where it is asked for
    problems = [problem for n, feed in enumerate(config.feeds) for problem in _problems(n, feed, formats)]
    if problems:
        raise error_of(config.origin, problems)


def _problems(n: int, feed: FeedConfig, formats: Mapping[str, FeedFormat]) -> Iterator[Problem]:
    if feed.format != AUTO and feed.format not in formats:
        known = ", ".join((*formats, AUTO))
        yield Problem(("feeds", n, "format"), f"expected one of {known}, found '{feed.format}'")
        return
    reason = why_benign(formats[feed.format]) if feed.format != AUTO else ""
    if reason and Polarity(feed.polarity) is Polarity.ILLEGAL:
        yield Problem(
            ("feeds", n, "format"),
            f"a list of the format {feed.format} is never one of illegal material: {reason}; "
            "set polarity: benign",
        )
    if why := unusable(PurePosixPath(unquote(urlsplit(feed.url).path)).name):
        yield Problem(("feeds", n, "url"), why)


def check_file_name(name: str) -> None:
    """See that a list imported by hand is not one that only its name tells from a good one.

    Raises:
        FeedRefusedError: it is.
    """
    if reason := unusable(name):
        raise FeedRefusedError(reason, where=name, remedy="Take the .hdb or .hsb of the same publisher")


def formats_told() -> list[dict[str, Any]]:
    """Every format, and every protocol with the format of its pages, those of plug-ins among them.

    Raises:
        ConfigError: a plug-in can't be loaded.
    """
    told = [{"type": "format", **asdict(describe(form))} for form in available_formats().values()]
    for name, exchange in available_exchanges().items():
        summary = (type(exchange).__doc__ or "").strip().split("\n", 1)[0]
        told.append({"type": "exchange", "name": name, "summary": summary, "format": exchange.format})
    return told
