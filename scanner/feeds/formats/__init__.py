"""Formats of hash lists: ours, and those that installed packages bring."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from scanner.feeds.formats.answers import AnswersFormat
from scanner.feeds.formats.base import FeedFormat, FormatOptions
from scanner.feeds.formats.c4all import C4allFormat
from scanner.feeds.formats.clamav import ClamavFormat
from scanner.feeds.formats.csv import CsvFormat
from scanner.feeds.formats.csv_layouts import GriffeyeFormat, HashKeeperFormat, IcseFormat
from scanner.feeds.formats.encase import EncaseFormat
from scanner.feeds.formats.hashdeep import HashdeepFormat
from scanner.feeds.formats.kdb import KdbFormat
from scanner.feeds.formats.misp import MispEventFormat
from scanner.feeds.formats.misp_csv import MispCsvFormat
from scanner.feeds.formats.ncmec import NcmecFormat
from scanner.feeds.formats.nsrl import NsrlFormat
from scanner.feeds.formats.nsrl_text import NsrlTextFormat
from scanner.feeds.formats.plain import PlainFormat
from scanner.feeds.formats.signals import SignalsFormat
from scanner.feeds.formats.stix import StixFormat
from scanner.feeds.formats.stopncii import StopNciiFormat
from scanner.feeds.formats.tat import TatFormat
from scanner.feeds.formats.threatexchange import ThreatExchangeFormat
from scanner.feeds.formats.tree import TreeFormat
from scanner.feeds.formats.vics import VicsFormat
from scanner.feeds.plugins import with_plugins

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

# In this order they are named where a format has to be chosen; one line each.
_OURS: tuple[Callable[[], FeedFormat], ...] = (
    PlainFormat,
    CsvFormat,
    VicsFormat,
    IcseFormat,
    GriffeyeFormat,
    HashKeeperFormat,
    HashdeepFormat,
    ClamavFormat,
    EncaseFormat,
    KdbFormat,
    NsrlFormat,
    NsrlTextFormat,
    C4allFormat,
    NcmecFormat,
    ThreatExchangeFormat,
    StopNciiFormat,
    TatFormat,
    SignalsFormat,
    StixFormat,
    MispEventFormat,
    MispCsvFormat,
    TreeFormat,
    AnswersFormat,
)


def our_formats() -> Mapping[str, FeedFormat]:
    """Those that are part of hostsweep, by name."""
    return {form.name: form for form in (make() for make in _OURS)}


def available_formats() -> Mapping[str, FeedFormat]:
    """All formats by name.

    Raises:
        ConfigError: an installed package's format can't be loaded, or takes a name that is in use.
    """
    return with_plugins(our_formats(), GROUP, "list format")
