"""The `options` of a feed: what a protocol or a format lets the operator choose, as text."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from scanner.feeds.checks import shown
from scanner.model.errors import ConfigError

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")

Choice = Callable[[str], Any]
"""Reads an option. Raises ValueError with what was expected."""


def yes_no(text: str) -> bool:
    """`yes` or `no`; `true` and `false` are taken as well."""
    if text in ("yes", "true"):
        return True
    if text in ("no", "false"):
        return False
    raise ValueError("expected yes or no")


def words(text: str) -> frozenset[str]:
    """Words with commas between them."""
    found = frozenset(word.strip() for word in text.split(",")) - {""}
    if not found:
        raise ValueError("expected words with commas between them")
    return found


def numbers(text: str) -> frozenset[str]:
    """Whole numbers with commas between them, as the publisher writes them."""
    found = words(text)
    if not all(word.isascii() and word.isdigit() for word in found):
        raise ValueError("expected whole numbers with commas between them")
    return found


def one_of(*choices: str) -> Choice:
    def read(text: str) -> str:
        if text not in choices:
            raise ValueError(f"expected {' or '.join(choices)}")
        return text

    return read


def whole(least: int, most: int) -> Choice:
    def read(text: str) -> int:
        number = int(text) if text.isascii() and text.isdigit() and len(text) < 20 else -1
        if not least <= number <= most:
            raise ValueError(f"expected a whole number from {least} to {most}")
        return number

    return read


def day(text: str) -> int:
    """A day as YYYY-MM-DD, as seconds since 1970 at its beginning in UTC."""
    try:  # strptime loads a module when it is first called: out of reach for a process without rights
        moment = datetime.fromisoformat(text if _DAY.fullmatch(text) else "")
        seconds = int(moment.replace(tzinfo=UTC).timestamp())
    except ValueError:
        seconds = -1
    if seconds < 0:
        raise ValueError("expected a day since 1970 as YYYY-MM-DD")
    return seconds


def wrong(options: Mapping[str, str], known: Mapping[str, Choice], needed: frozenset[str]) -> str | None:
    """What is wrong with options, in a sentence that names the key; None if nothing is."""
    for key, text in options.items():
        if key not in known:
            return f"there is no option '{shown(key)}'; known: {', '.join(sorted(known)) or 'none'}"
        try:
            known[key](text)
        except ValueError as e:
            return f"{key}: {e}"
    missing = sorted(needed - options.keys())
    return f"{missing[0]} is missing" if missing else None


def chosen(options: Mapping[str, str], known: Mapping[str, Choice], key: str, default: str) -> Any:
    """The value of an option.

    Raises:
        ConfigError: it is none; the text is not quoted.
    """
    try:
        return known[key](options.get(key, default))
    except ValueError as e:
        raise ConfigError(str(e), where=f"options.{key}") from e
