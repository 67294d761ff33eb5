"""The chain of events: each one's hash covers the hash before it. Pure: no SQL, no clock.

The hash of an event is SHA-256 over, one after the other:

    b"hostsweep ledger event 1\\n"
    prev_hash    32 bytes: the hash of the event before; zeros for the first
    seq          8 bytes, unsigned, most significant first
    at_ns        8 bytes, signed (two's complement), most significant first
    then type, case_id, actor and payload, each as 4 bytes of length and its UTF-8 bytes as stored

Lengths stand before the texts, so no two different events have the same serialisation.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable

from scanner.ledger.database import Row
from scanner.ledger.records import Head, Verification

GENESIS = Head(0, bytes(32))
_TAG = b"hostsweep ledger event 1\n"


def event_hash(prev_hash: bytes, seq: int, at_ns: int, texts: Iterable[bytes]) -> bytes:
    """The hash of one event.

    Args:
        texts: type, case_id, actor and payload, as UTF-8.
    """
    digest = hashlib.sha256(_TAG + prev_hash + struct.pack(">Qq", seq, at_ns))
    for text in texts:
        digest.update(struct.pack(">I", len(text)) + text)
    return digest.digest()


def verify(rows: Iterable[Row], kept: Head | None = None) -> Verification:
    """Walk the chain, up to the first event that is wrong.

    Args:
        rows: the events in order, as `sql.RAW_EVENTS` gives them.
        kept: a head that was kept elsewhere, to be found in this chain.
    """
    head = GENESIS
    for row in rows:
        problem = _problem(row, head)
        if problem:
            return Verification(head, head.seq + 1, problem)
        head = Head(row[0], row[7])
        if kept is not None and kept.seq == head.seq and kept.hash != head.hash:
            return Verification(head, head.seq, "it is not the event whose hash was kept elsewhere")
    if kept is not None and kept.seq > head.seq:
        return Verification(head, head.seq + 1, f"events up to {kept.seq} were there, and are missing")
    return Verification(head)


def _problem(row: Row, head: Head) -> str:
    """What is wrong with the event that comes after `head`; "" if nothing is."""
    seq, at_ns, *texts, prev_hash, own_hash, is_text = row
    if seq != head.seq + 1:
        return f"expected event {head.seq + 1}, got event {seq}"
    stored = (isinstance(at_ns, int), isinstance(prev_hash, bytes), isinstance(own_hash, bytes), is_text)
    if not all(stored):
        return "a column holds another type than was written"
    if prev_hash != head.hash:
        return "it does not follow the event before it"
    if own_hash != event_hash(prev_hash, seq, at_ns, texts):
        return "its content is not what was hashed"
    return ""
