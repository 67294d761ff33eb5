"""The securer's protocol, both ways: a SecurerError, or what was said, within bounds and once more the same.

First byte: a frame as it is; or a body as JSON; or edits of a whole operation, or of the answer to one.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping

from fuzzing import Target, harmless, law

from fuzz_targets._edits import edited
from scanner.model.errors import SecurerError
from scanner.securer.protocol import (
    MAX_DATA,
    MAX_NAME,
    MAX_PATH,
    Ask,
    FileAsk,
    Kind,
    Op,
    Refusal,
    encode_ask,
    encode_data,
    encode_done,
    encode_refusal,
    parse_answer,
    parse_ask,
)

_HEAD = struct.Struct("<HBB")
_OPS = tuple(Op)
_ANSWER: Mapping[str, object] = {
    "outcome": "secured", "kind": "secured", "text": "said", "quarantine_id": "q1", "links_left": 2,
    "ok": True, "head": "7:" + "0" * 64, "problem": "", "changed": ("cases",), "items": 1, "objects": 1,
    "bytes": 5, "free": 6, "path": b"/srv/a", "purged": True, "engaged": True, "reason": "", "since_ns": 9,
    "released": False, "state": "done", "step_id": "s1",
}  # fmt: skip


def check(data: bytes) -> None:
    frame = _frame(data)
    _check_ask(frame)
    for op in _OPS:
        _check_answer(frame, op)


def _frame(data: bytes) -> bytes:
    what, rest = data[0] if data else 0, data[1:]
    head = _HEAD.pack(0x5653, 1, what % 4 + 1)
    op = _OPS[(what >> 2) % len(_OPS)]
    if what < 0x40:
        return rest
    if what < 0x80:
        return head + rest
    if what < 0xC0:
        whole = encode_ask(_ask(op))
    else:
        whole = encode_done({name: _ANSWER[name] for name in _names(op)})
    return whole[: _HEAD.size] + json.dumps(edited(json.loads(whole[_HEAD.size :]), rest)).encode()


def _names(op: Op) -> tuple[str, ...]:
    by_op = {
        Op.USAGE: ("items", "bytes", "free"),
        Op.SECURE: ("outcome", "kind", "text", "quarantine_id", "links_left"),
        Op.OUTCOME: ("state", "step_id", "quarantine_id"),
        Op.RESTORE: ("path",),
        Op.PURGE: ("purged",),
        Op.VERIFY: ("items", "objects", "bytes"),
        Op.RECORD: ("ok", "head", "problem", "changed"),
        Op.BRAKE: ("engaged", "reason", "since_ns"),
        Op.RELEASE: ("released",),
    }
    return by_op.get(op, ())


def _ask(op: Op) -> Ask:
    file = FileAsk(
        "web", b"/srv", b"a/b", b"c\xff", 1, 2, 3, -4, 5, 3, {"sha256": b"s" * 32, "md5": b"m" * 16}, "c1", 7
    )
    return Ask(op, "q1", "c1", 5, b"/srv/x", "7:" + "0" * 64, file if op is Op.SECURE else None)


def _check_ask(frame: bytes) -> None:
    try:
        ask = parse_ask(frame)
    except SecurerError as e:
        harmless(str(e), "an error")
        return
    law(parse_ask(encode_ask(ask)) == ask, "an operation is written as it was read")
    file = ask.file
    law((file is not None) == (ask.op is Op.SECURE), "a file comes with the operation that needs one")
    paths = [ask.path] if file is None else [file.root, file.directory, file.name]
    law(
        all(len(path) <= MAX_PATH and b"\0" not in path for path in paths), "paths are bounded, without zeros"
    )
    if file is not None:
        law(len(file.name) <= MAX_NAME, "names are bounded")
        numbers = (file.device, file.inode, file.size, file.hashed)
        law(all(type(n) is int and 0 <= n < 1 << 64 for n in numbers), "numbers are those of the kernel")


def _check_answer(frame: bytes, op: Op) -> None:
    try:
        answer = parse_answer(frame, op)
    except SecurerError as e:
        harmless(str(e), "an error")
        return
    if isinstance(answer, bytes):
        law(0 < len(answer) <= MAX_DATA, "parts are bounded")
    elif isinstance(answer, Refusal):
        for text in (answer.kind, answer.what, answer.where, answer.remedy):
            harmless(text, "a refusal")
    else:
        law(set(answer) == set(_names(op)), "an answer has the fields of its operation")
        for value in answer.values():
            law(type(value) in (str, int, bool, bytes, tuple), "values are plain")
            if isinstance(value, str):
                harmless(value, "an answer")


def seeds() -> dict[str, bytes]:
    whole = {f"ask_{op}": b"\0" + encode_ask(_ask(op)) for op in Op}
    answers = {
        f"done_{op}": b"\0" + encode_done({name: _ANSWER[name] for name in _names(op)})
        for op in Op
        if _names(op)
    }
    secure, record = _OPS.index(Op.SECURE) << 2, _OPS.index(Op.RECORD) << 2
    return {
        **whole,
        **answers,
        "data": b"\0" + encode_data(b"x"),
        "refused": b"\0" + encode_refusal(Refusal("busy", "a\x1b[2J", "where", "remedy")),
        "twice": bytes([0x40 + Kind.ASK - 1]) + b'{"op":"ready","op":"usage"}',
        "deep": bytes([0x40 + Kind.ASK - 1]) + b"[" * 3000,
        "no_number": bytes([0x40 + Kind.DONE - 1]) + b'{"items":NaN,"bytes":1e999,"free":-1}',
        "edited_file": bytes([0x80 | secure % 0x40]) + b"name=AA==\ndigests.sha1=00\nsize=-1\ninode=true",
        "edited_record": bytes([0xC0 | record % 0x40]) + b'changed=["A"]\nproblem=a\x1b[2J\nhead=x',
    }


_KEYS = ("op=", "name=", "root=", "digests.md5=", "size=", "item_id=", "path=", "text=", "changed=", "what=")
TARGET = Target(
    check, seeds, (*(key.encode() for key in _KEYS), b"=null", b"\n", b"1e999", b"AA==", b"secure")
)
