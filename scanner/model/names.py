"""Names of files are bytes that strangers choose: how they are shown without doing harm.

Inside hostsweep a name stays `bytes`. `display` is for people (terminal, log, table, CSV);
`json_fields` is for programs and loses nothing.
"""

from __future__ import annotations

import base64
import unicodedata
from collections.abc import Collection

# Characters that act on the reader's terminal or reorder what is read: Unicode categories Cc
# (C0, DEL, C1), Cf (bidi, zero width), Zl and Zp (line separators), Cs (surrogates), Co, Cn.
_ACTIVE = frozenset({"Cc", "Cf", "Zl", "Zp", "Cs", "Co", "Cn"})


def display(raw: bytes | str) -> str:
    """A name as one harmless line of printable text.

    Bytes that are not UTF-8 become ``\\xNN``, characters that act on a terminal ``\\xNN`` or
    ``\\uNNNN``, the backslash itself ``\\\\``: two different names never look the same.
    """
    text = raw.decode("utf-8", "surrogateescape") if isinstance(raw, bytes) else raw
    if text.isascii() and text.isprintable() and "\\" not in text:
        return text
    return "".join(_escape(c) for c in text)


def _escape(character: str) -> str:
    code = ord(character)
    if character == "\\":
        return "\\\\"
    if 0xDC80 <= code <= 0xDCFF:  # a byte that was no UTF-8, as surrogateescape keeps it
        return f"\\x{code - 0xDC00:02x}"
    if unicodedata.category(character) not in _ACTIVE:
        return character
    if code < 0x100:
        return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def json_fields(raw: bytes, key: str = "path") -> dict[str, str]:
    """`{key: text}`, and `{key}_base64` with the exact bytes when the name isn't UTF-8."""
    try:
        return {key: raw.decode("utf-8")}
    except UnicodeDecodeError:
        return {key: display(raw), f"{key}_base64": base64.b64encode(raw).decode("ascii")}


def unused_name(wanted: str, taken: Collection[str]) -> str:
    """`wanted`, or it with the first number that makes it new."""
    name, n = wanted, 1
    while name in taken:
        n += 1
        name = f"{wanted}-{n}"
    return name
