"""A published tree: any notification, pointer, file or line is entries or a FeedError."""

from __future__ import annotations

import hashlib

from fuzzing import Target, law

from fuzz_targets._lists import HEX, WORDS, check_error
from scanner.feeds import FormatOptions
from scanner.feeds.formats.tree import TreeFormat
from scanner.feeds.tree.lines import entry_of, line_of
from scanner.feeds.tree.notification import Notification, TreeFile, parse_notification, parse_pointer
from scanner.feeds.tree.packing import pack, unpack
from scanner.model.errors import FeedError
from scanner.model.feeds import Entry, ImportCounts, Removal

_SESSION = "11111111-2222-4333-8444-555555555555"


def check(data: bytes) -> None:
    """The first byte says what the rest is: a notification, a pointer, a packed file, or lines."""
    kind, rest = data[:1], data[1:]
    try:
        if kind == b"n":
            told = parse_notification(rest)
            law(parse_notification(told.to_json()) == told, "a notification is the same when written again")
        elif kind == b"p":
            law(".." not in parse_pointer(rest), "a pointer never leaves the tree")
        elif kind == b"z":
            unpack(rest)
        else:
            _lines(rest)
    except FeedError as e:
        check_error(e)


def _lines(content: bytes) -> None:
    """Lines in a file that its notification names."""
    file = pack(content)
    named = TreeFile(f"{_SESSION}/1/snapshot-0000.gz", hashlib.sha256(file).hexdigest(), len(file))
    told = Notification(_SESSION, 1, "", "f", 0, "0" * 64, (named,), ())
    counts = ImportCounts()
    pages = iter([told.to_json(), b"", file])
    items = list(TreeFormat().parse_pages(pages, FormatOptions(), counts))
    entries = [item for item in items if isinstance(item, Entry)]
    law(counts.entries == len(entries), "entries are counted")
    law(counts.removals == sum(isinstance(item, Removal) for item in items), "removals are counted")
    for entry in entries:
        again = entry_of(line_of(entry), 1, ImportCounts())
        law(again is not None and again.hashes == entry.hashes, "a line that is written again says the same")


def seeds() -> dict[str, bytes]:
    line = b"0123456789abcdef0123456789abcdef "
    record = b'{"category":"1","hashes":{"md5":"%s","pdq":"%s"},"id":"7"}' % (HEX["md5"], HEX["pdq"])
    file = TreeFile(f"{_SESSION}/2/delta-00.gz", "0" * 64, 9, 2)
    told = Notification(_SESSION, 2, "2026-01-02T03:04:05Z", "police", 3, "1" * 64, (file,), (file,))
    return {
        "notification": b"n" + told.to_json(),
        "pointer": b'p{"version": 1, "notification": "%s/2/notification.json"}' % _SESSION.encode(),
        "file": b"z" + pack(b"+" + line + record + b"\n"),
        "added": b"l+" + line + record + b"\n",
        "changed": b"l-" + line + record + b"\n+" + line + record.replace(b"7", b"8") + b"\n",
        "removed": b"l-" + line + record + b"\n",
        "about": b'l+%s{"hashes":{"md5":"%s"},"labels":["a"],"added":1}\n' % (line, HEX["md5"]),
    }


TARGET = Target(check, seeds, (*WORDS, b'"hashes"', b'"labels"', b'"serial"', b'"snapshot"', b"\n+", b"\n-"))
