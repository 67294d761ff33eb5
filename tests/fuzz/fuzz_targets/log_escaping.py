"""Names of strangers in logs: one harmless line each, nothing lost, no hash told. First byte: which log."""

from __future__ import annotations

import base64
import functools
import io
import json
import logging
import os
import re
from pathlib import PurePosixPath

import structlog
from fuzzing import Target, harmless, law

from scanner.model.names import display, json_fields
from scanner.observability import configure_logging

_ESCAPE = re.compile(rb"\\\\|\\x([0-9a-f]{2})|\\u([0-9a-f]{4})|\\U([0-9a-f]{8})")
_SECRET = bytes(range(1, 17))


@functools.cache
def _formatters() -> tuple[logging.Formatter, logging.Formatter]:
    """Those that the program sets up, without leaving the set-up behind."""
    root, found = logging.getLogger(), []
    handlers, level = root.handlers[:], root.level
    for log_format in ("json", "console"):
        configure_logging(log_format, 2, io.StringIO())
        found.append(next(h for h in root.handlers if h not in handlers).formatter)
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)
    structlog.reset_defaults()
    return found[0], found[1]


def check(data: bytes) -> None:
    raw = data[1:]
    shown = display(raw)
    harmless(shown, "a name that is shown")
    law(_ESCAPE.sub(_unescaped, shown.encode()) == raw, "what is shown tells the exact bytes")
    text = raw.decode("utf-8", "replace")
    law(display(text) == display(text.encode()), "text is shown as its bytes are")
    fields = json.loads(json.dumps(json_fields(raw)))
    kept = base64.b64decode(fields["path_base64"]) if "path_base64" in fields else fields["path"].encode()
    law(kept == raw, "JSON keeps the exact bytes")
    _check_log(raw, text, as_json=bool(data[:1] < b"\x80"))


def _unescaped(found: re.Match[bytes]) -> bytes:
    if found[1]:
        return bytes.fromhex(found[1].decode())
    code = found[2] or found[3]
    return chr(int(code, 16)).encode() if code else b"\\"


def _check_log(raw: bytes, text: str, *, as_json: bool) -> None:
    formatter = _formatters()[not as_json]
    event = {
        "event": text, "path": raw, "where": PurePosixPath(os.fsdecode(raw.replace(b"\0", b""))),
        "error": OSError(2, text), "nested": {text: [raw, {raw: raw}]},
        "md5": _SECRET.hex(), "digests": {"x": _SECRET},
    }  # fmt: skip
    ours = logging.makeLogRecord({"msg": event, "_logger": None, "_name": "info", "name": "scanner"})
    theirs = logging.makeLogRecord({"msg": text.replace("%", ""), "name": "aiohttp", "peer": text})
    for record in (ours, theirs):
        line = formatter.format(record)
        harmless(line, "a line of the log")
        law(_SECRET.hex() not in line, "no hash is logged")
        if as_json:
            law(isinstance(json.loads(line), dict), "a line is one JSON object")


def seeds() -> dict[str, bytes]:
    names = {
        "plain": b"a name.jpg",
        "utf8": "Été/写真.png".encode(),
        "newline": b"a\nlevel=error event=forged",
        "terminal": b"\x1b[2J\x07\x9b31m\x7f\r",
        "bidi": "gpj.\u202egnp\u2066\u200b\u2028\ufeff".encode(),
        "no_utf8": b"\xff\xfe\xed\xa0\x80\xc0\xaf",
        "backslash": b"\\x41\\\\u202e",
        "astral": "\U0001f600\U000e0001\U0010ffff".encode(),
        "braces": b'{"event": "x"}',
    }
    both = {name: b"\0" + raw for name, raw in names.items()}
    return both | {f"{name}_console": b"\xff" + raw for name, raw in names.items()}


TARGET = Target(check, seeds, (b"\x1b[", b"\xe2\x80\xae", b"\xc2\x9b", b"\\x1b", b"\n", b"\xed\xb2\x80"), 512)
