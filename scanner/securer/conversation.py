"""One connection to the securer, from its first frame to its end. Runs in a thread of its own."""

from __future__ import annotations

import os
import socket
from contextlib import suppress

import structlog

from scanner.model.errors import (
    LedgerError,
    NotFoundError,
    ScannerError,
    SecurerError,
    VaultError,
    VaultFullError,
)
from scanner.securer.operations import Household, NotYours, Operations
from scanner.securer.protocol import (
    DESCRIPTORS,
    MAX_DATA,
    MAX_FRAME,
    Refusal,
    encode_data,
    encode_done,
    encode_refusal,
    parse_ask,
)
from scanner.system.descriptors import receive, send
from scanner.system.peers import Peer

# Seconds without a question after which a connection is closed; the other side opens a new one when it
# needs it.
IDLE_SECONDS = 120.0
# Seconds a peer may take to read a part of an answer. It is on this machine: one that is slower has stopped.
SEND_SECONDS = 30.0

# From the most special error to the most general: the first that fits.
_KINDS: tuple[tuple[type[ScannerError], str], ...] = (
    (NotYours, "not_yours"),
    (NotFoundError, "not_found"),
    (VaultFullError, "full"),
    (SecurerError, "refused"),
    (VaultError, "vault"),
    (LedgerError, "ledger"),
    (ScannerError, "failed"),
)

log = structlog.get_logger("hostsweep.securer")


def refusal_of(error: ScannerError) -> Refusal:
    """What a peer is told of an error."""
    kind = next(word for sort, word in _KINDS if isinstance(error, sort))
    return Refusal(kind, error.what, error.where, error.remedy)


class _Stream:
    """Puts lines of an answer together into frames."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._waiting = bytearray()

    def emit(self, line: bytes) -> None:
        self._waiting += line
        while len(self._waiting) >= MAX_DATA:
            self._send(MAX_DATA)

    def flush(self) -> None:
        if self._waiting:
            self._send(len(self._waiting))

    def _send(self, size: int) -> None:
        send(self._sock, encode_data(bytes(self._waiting[:size])))
        del self._waiting[:size]


def converse(sock: socket.socket, peer: Peer, house: Household) -> None:
    """Answer a peer until it goes, is silent for too long, or says something that is no question."""
    try:
        sock.settimeout(SEND_SECONDS)
        with house.record(f"securer (asked by uid {peer.uid})") as ledger:
            operations = Operations(house, peer, ledger)
            while _one(sock, peer, operations):
                pass
    except LedgerError as e:
        log.error("securer_record", error=str(e))
        with suppress(OSError):
            send(sock, encode_refusal(refusal_of(e)))
    except OSError as e:  # the peer is gone, or reads too slowly
        log.info("peer_lost", uid=peer.uid, pid=peer.pid, reason=e.strerror or str(e))


def _one(sock: socket.socket, peer: Peer, operations: Operations) -> bool:
    """One question and its answer; whether to go on."""
    sock.settimeout(IDLE_SECONDS)
    try:
        frame, descriptors = receive(sock, MAX_FRAME, max(DESCRIPTORS.values()))
    except TimeoutError:
        return False
    except ValueError as e:  # too long, or more descriptors than any operation takes: they are closed
        return _refuse_nonsense(sock, peer, str(e))
    try:
        if not frame:
            return False
        sock.settimeout(SEND_SECONDS)
        return _answer(sock, peer, operations, frame, descriptors)
    finally:
        for fd in descriptors:
            os.close(fd)


def _answer(
    sock: socket.socket, peer: Peer, operations: Operations, frame: bytes, descriptors: list[int]
) -> bool:
    try:
        ask = parse_ask(frame)
        if len(descriptors) != DESCRIPTORS.get(ask.op, 0):
            raise SecurerError(f"'{ask.op}' does not take {len(descriptors)} descriptors")
    except SecurerError as e:
        return _refuse_nonsense(sock, peer, e.what)
    stream = _Stream(sock)
    try:
        fields = operations.do(ask, descriptors, stream.emit)
    except ScannerError as e:
        log.warning("refused", uid=peer.uid, pid=peer.pid, op=str(ask.op), error=str(e))
        send(sock, encode_refusal(refusal_of(e)))
        return True
    stream.flush()
    send(sock, encode_done(fields))
    _say(peer, str(ask.op), fields.get("kind"))
    return True


def _say(peer: Peer, op: str, kind: object) -> None:
    if kind in ("refused", "brake"):
        log.error("securing_refused", uid=peer.uid, pid=peer.pid, kind=kind)
    else:
        log.info("done", uid=peer.uid, op=op, kind=kind)


def _refuse_nonsense(sock: socket.socket, peer: Peer, text: str) -> bool:
    """Whoever does not speak the protocol is not listened to any further."""
    log.error("nonsense", uid=peer.uid, pid=peer.pid, reason=text)
    send(sock, encode_refusal(Refusal("nonsense", text)))
    return False
