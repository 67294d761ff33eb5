"""What every format does with a value: check it, drop what harmless files have, count it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping

from scanner.feeds.harmless import one_pixel_pictures
from scanner.model.errors import FeedFormatError, FeedRefusedError
from scanner.model.feeds import About, Entry, ImportCounts
from scanner.model.hashes import EXACT_KINDS, KINDS
from scanner.model.names import display

# Characters of an id or a category: real ones have at most some 50; a longer one is a wrong column.
MAX_TEXT = 1024

MAX_CATEGORIES = 1000  # different values in one list: published sets have some 10

# Names of a list (headers, keys) are told in errors, as far as they can't be digests: where a list has no
# names, or the wrong ones, values stand in their place.
_SHOWN_CHARACTERS = 40
_LIKE_A_DIGEST = re.compile(r"[0-9A-Za-z+/]{24,}|[0-9A-Fa-f]{16,}")

# Kinds that lists carry and nothing here can compute. Any other name counts as "other", so that a
# list can't invent counters.
UNSUPPORTED_KINDS = frozenset(
    {"photodna", "vpdq", "tmk", "netclean", "videntifier", "ssdeep", "tlsh"}
    | {"sha224", "sha384", "blake2b", "whirlpool", "crc32"}
)
_SAME_KIND = {"pdna": "photodna", "tmkpdqf": "tmk"}

_ZERO = re.compile(r"[+-]?0*(\.0*)?")
_ABSENT = frozenset({"null", "none", "nan"})


def _harmless() -> dict[tuple[str, bytes], str]:
    """Values that would match files that mean nothing: the empty file, spacers, flat or undecodable
    pictures."""
    table = {
        (kind, hashlib.new(kind, content, usedforsecurity=False).digest()): "one_pixel"
        for content in one_pixel_pictures()
        for kind in EXACT_KINDS
    }
    table |= {(kind, hashlib.new(kind, b"").digest()): "empty_input" for kind in EXACT_KINDS}
    for kind in KINDS.values():
        table[kind.name, bytes(kind.size)] = "all_zeros"
        table[kind.name, b"\xff" * kind.size] = "all_ones"
    return table


HARMLESS: Mapping[tuple[str, bytes], str] = _harmless()


def shown(name: str) -> str:
    """A name of the list's own as it may stand in an error: harmless, short, and never a digest."""
    if _LIKE_A_DIGEST.search(name):
        return "(a digest)"
    text = display(name)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"


def refusal(kind: str, value: bytes) -> str | None:
    """Why a value must not be matched: empty_input, one_pixel, all_zeros, all_ones; None: nothing is
    wrong."""
    return HARMLESS.get((kind, value))


def kind_name(text: str) -> str:
    """The name of a hash kind, however it is spelled: ``SHA-1``, ``sha_1`` and ``SHA1`` are ``sha1``."""
    name = text.strip().casefold()
    for character in "-_ ":
        name = name.replace(character, "")
    if name.startswith("sha2") and name[4:] in ("256", "384", "512"):  # OpenSSL's SHA2-256
        name = f"sha{name[4:]}"
    return _SAME_KIND.get(name, name)


def unsupported_name(kind: str) -> str:
    """Under which name a kind that can't be matched is counted; `kind` as `kind_name` gives it."""
    return kind if kind in UNSUPPORTED_KINDS or kind in KINDS else "other"


def count(counter: dict[str, int], key: str) -> None:
    counter[key] = counter.get(key, 0) + 1


def category_text(value: str) -> str:
    """A publisher's category as text; "" where it says none: 0 (however written), null or nothing."""
    text = value.strip()
    if text.casefold() in _ABSENT or _ZERO.fullmatch(text):
        return ""
    return text


def digest(kind: str, text: str, where: str) -> bytes:
    """A value of hexadecimal digits as bytes. The error tells lengths, never the value.

    Raises:
        FeedFormatError: other characters, or not the kind's length.
    """
    size = KINDS[kind].size
    if len(text) != 2 * size:
        raise FeedFormatError(
            f"{kind} has {2 * size} hexadecimal digits, found {len(text)} characters", where=where
        )
    try:
        value = bytes.fromhex(text)
    except ValueError:
        value = b""
    if len(value) != size:  # fromhex skips white space
        raise FeedFormatError(f"{kind} has hexadecimal digits only, found other characters", where=where)
    return value


def pass_over(error: FeedFormatError, counts: ImportCounts) -> None:
    """Count one record that is not as it should be, and go on. Only for lists whose other records can't be
    misread by it; `import_list` refuses the list where the share of such records is too high."""
    counts.malformed += 1
    if not counts.first_malformed:
        counts.first_malformed = f"{error.where}: {error.what}" if error.where else error.what


def admit(
    hashes: Iterable[tuple[str, bytes]],
    id: str,
    category: str,
    counts: ImportCounts,
    *,
    key: str = "",
    changed_ns: int = 0,
    about: About | None = None,
) -> Entry | None:
    """The entry of one record, with what must not be matched left out and everything counted.

    Returns:
        None when no hash remains.

    Raises:
        FeedRefusedError: the list has more categories than can be right.
    """
    kept = tuple(pair for pair in hashes if pair not in HARMLESS or _refuse(pair, counts))
    if not kept:
        return None
    counts.entries += 1
    for kind, _ in kept:
        counts.hashes[kind] = counts.hashes.get(kind, 0) + 1
    number = counts.categories.get(category, 0)
    if not number and len(counts.categories) >= MAX_CATEGORIES:
        raise too_many_categories()
    counts.categories[category] = number + 1
    return Entry(kept, id, category, key, changed_ns, about)


def too_many_categories() -> FeedRefusedError:
    return FeedRefusedError(
        f"the list has more than {MAX_CATEGORIES} categories",
        remedy="Check which column or field of the list is the category",
    )


def _refuse(pair: tuple[str, bytes], counts: ImportCounts) -> bool:
    count(counts.refused, HARMLESS[pair])
    return False
