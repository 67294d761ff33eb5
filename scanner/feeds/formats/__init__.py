"""Formats of hash lists: ours, and those that installed packages bring.

Each is loaded when it is asked for: a command that reads no list has no use for two dozen ways to read one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from scanner.feeds.formats.base import FeedFormat, FormatOptions
from scanner.feeds.plugins import with_plugins
from scanner.system.late import names_of

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

# By name: module and class. In this order they are named where a format has to be chosen; one line each.
_OURS: Mapping[str, tuple[str, str]] = {
    "plain": ("plain", "PlainFormat"),
    "csv": ("csv", "CsvFormat"),
    "vics": ("vics", "VicsFormat"),
    "icse": ("csv_layouts", "IcseFormat"),
    "griffeye": ("csv_layouts", "GriffeyeFormat"),
    "hashkeeper": ("csv_layouts", "HashKeeperFormat"),
    "hashdeep": ("hashdeep", "HashdeepFormat"),
    "clamav": ("clamav", "ClamavFormat"),
    "encase": ("encase", "EncaseFormat"),
    "kdb": ("kdb", "KdbFormat"),
    "nsrl": ("nsrl", "NsrlFormat"),
    "nsrl-text": ("nsrl_text", "NsrlTextFormat"),
    "c4all": ("c4all", "C4allFormat"),
    "ncmec": ("ncmec", "NcmecFormat"),
    "threatexchange": ("threatexchange", "ThreatExchangeFormat"),
    "stopncii": ("stopncii", "StopNciiFormat"),
    "tat": ("tat", "TatFormat"),
    "signals": ("signals", "SignalsFormat"),
    "stix": ("stix", "StixFormat"),
    "misp-event": ("misp", "MispEventFormat"),
    "misp-csv": ("misp_csv", "MispCsvFormat"),
    "tree": ("tree", "TreeFormat"),
    "answers": ("answers", "AnswersFormat"),
}
_MODULES = dict((name, module) for module, name in _OURS.values())
__getattr__ = names_of(__name__, _MODULES)


def our_formats(name: str | None = None) -> Mapping[str, FeedFormat]:
    """Those that are part of hostsweep, by name.

    Args:
        name: only this one is loaded, where it is one of ours.
    """
    names = [name] if name is not None and name in _OURS else _OURS
    return {name: __getattr__(_OURS[name][1])() for name in names}


def available_formats() -> Mapping[str, FeedFormat]:
    """All formats by name.

    Raises:
        ConfigError: an installed package's format can't be loaded, or takes a name that is in use.
    """
    return with_plugins(our_formats(), GROUP, "list format")
