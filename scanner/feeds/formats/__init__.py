"""Formats of hash lists: ours, and those that installed packages bring.

Each is loaded when it is asked for: a command that reads no list has no use for two dozen ways to read one.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from scanner.feeds.formats.base import FeedFormat, FormatOptions
from scanner.feeds.plugins import with_plugins

if TYPE_CHECKING:
    from scanner.feeds.formats.csv import CsvFormat
    from scanner.feeds.formats.csv_layouts import GriffeyeFormat, HashKeeperFormat, IcseFormat
    from scanner.feeds.formats.hashdeep import HashdeepFormat
    from scanner.feeds.formats.misp import MispEventFormat
    from scanner.feeds.formats.misp_csv import MispCsvFormat
    from scanner.feeds.formats.plain import PlainFormat
    from scanner.feeds.formats.stix import StixFormat
    from scanner.feeds.formats.vics import VicsFormat

__all__ = [
    "CsvFormat",
    "FeedFormat",
    "FormatOptions",
    "GriffeyeFormat",
    "HashKeeperFormat",
    "HashdeepFormat",
    "IcseFormat",
    "MispCsvFormat",
    "MispEventFormat",
    "PlainFormat",
    "StixFormat",
    "VicsFormat",
    "available_formats",
    "our_formats",
]

GROUP = "hostsweep.feed_formats"

# Class and module. In this order they are named where a format has to be chosen; one line each.
_OURS: Mapping[str, str] = {
    "PlainFormat": "plain",
    "CsvFormat": "csv",
    "VicsFormat": "vics",
    "IcseFormat": "csv_layouts",
    "GriffeyeFormat": "csv_layouts",
    "HashKeeperFormat": "csv_layouts",
    "HashdeepFormat": "hashdeep",
    "ClamavFormat": "clamav",
    "EncaseFormat": "encase",
    "KdbFormat": "kdb",
    "NsrlFormat": "nsrl",
    "NsrlTextFormat": "nsrl_text",
    "C4allFormat": "c4all",
    "NcmecFormat": "ncmec",
    "ThreatExchangeFormat": "threatexchange",
    "StopNciiFormat": "stopncii",
    "TatFormat": "tat",
    "SignalsFormat": "signals",
    "StixFormat": "stix",
    "MispEventFormat": "misp",
    "MispCsvFormat": "misp_csv",
    "TreeFormat": "tree",
    "AnswersFormat": "answers",
}


def __getattr__(name: str) -> Any:
    if name not in _OURS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_OURS[name]}"), name)


def our_formats() -> Mapping[str, FeedFormat]:
    """Those that are part of hostsweep, by name."""
    made: list[FeedFormat] = [__getattr__(name)() for name in _OURS]
    return {form.name: form for form in made}


def available_formats() -> Mapping[str, FeedFormat]:
    """All formats by name.

    Raises:
        ConfigError: an installed package's format can't be loaded, or takes a name that is in use.
    """
    return with_plugins(our_formats(), GROUP, "list format")
