"""One connection to the securer: a question, its answer, one at a time."""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from scanner.model.errors import NotFoundError, ScannerError, SecurerError, VaultError, VaultFullError
from scanner.securer.protocol import MAX_FRAME, Ask, Refusal, encode_ask, parse_answer
from scanner.system.descriptors import receive, send
from scanner.system.peers import peer_of

_CONNECT_SECONDS = 5.0  # to be taken up by the listener's queue; a service manager may have to start it first
_SERVICE = "Is hostsweep-securer running? `systemctl status hostsweep-securer.socket` tells"
_ERRORS: dict[str, type[ScannerError]] = {
    "not_found": NotFoundError,
    "full": VaultFullError,
    "vault": VaultError,
}


class LostError(SecurerError):
    """The connection ended, or time ran out, before an answer came: what was asked may have been done."""


class Connection:
    """A connected socket, to be used by one thread at a time."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._between = True  # questions: the last answer came to its end

    @classmethod
    def open(cls, path: Path) -> Connection:
        """Connect to the securer's socket.

        Raises:
            SecurerError: it isn't there, or who listens is neither root nor we ourselves.
        """
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
        try:
            sock.settimeout(_CONNECT_SECONDS)
            sock.connect(os.fspath(path))
            owner = peer_of(sock).uid
        except OSError as e:
            sock.close()
            raise SecurerError(
                f"the securer can't be reached ({e.strerror or e})", where=str(path), remedy=_SERVICE
            ) from e
        if owner not in (0, os.geteuid()):
            sock.close()
            raise SecurerError(
                f"a process of uid {owner} listens in the securer's place",
                where=str(path),
                remedy="Find out why",
            )
        return cls(sock)

    @property
    def usable(self) -> bool:
        """Whether the next question can be asked: nothing is left of an answer, and nobody has hung up."""
        poll = select.poll()
        poll.register(self._sock, select.POLLIN | select.POLLHUP)
        return self._between and not poll.poll(0)

    def close(self) -> None:
        self._sock.close()

    def ask(
        self,
        ask: Ask,
        descriptors: Sequence[int] = (),
        *,
        seconds: float | None,
        take: Callable[[bytes], None] | None = None,
    ) -> dict[str, Any]:
        """Ask, and wait for the end of the answer; returns its fields.

        Args:
            seconds: how long to wait for each frame; None: for ever.
            take: takes the parts of the answer's stream.

        Raises:
            NotFoundError, VaultFullError, VaultError: said by the vault.
            LostError: no answer came.
            SecurerError: refused, or the answer is none.
        """
        self._sock.settimeout(seconds)
        self._between = False
        try:
            send(self._sock, encode_ask(ask), descriptors)
        except BrokenPipeError:
            pass  # it may have said why before it hung up
        except OSError as e:
            raise LostError(f"the securer does not listen ({e.strerror or e})", remedy=_SERVICE) from e
        while True:
            answer = parse_answer(self._frame(), ask.op)
            self._between = not isinstance(answer, bytes)
            if isinstance(answer, Refusal):
                raise _error(answer)
            if isinstance(answer, dict):
                return answer
            if take is None:
                raise SecurerError("the securer said something that is no answer (a stream not asked for)")
            take(answer)

    def _frame(self) -> bytes:
        try:
            try:
                frame, _ = receive(self._sock, MAX_FRAME)
            except (
                ConnectionError
            ):  # told first when it hung up on something unread; what it said comes after
                frame, _ = receive(self._sock, MAX_FRAME)
        except ValueError as e:  # too long, or with descriptors, which no answer has
            raise SecurerError(f"the securer said something that is no answer ({e})") from e
        except OSError as e:
            raise LostError(f"the securer did not answer ({e.strerror or e})", remedy=_SERVICE) from e
        if not frame:
            raise LostError("the securer ended before it answered", remedy=_SERVICE)
        return frame


def _error(refusal: Refusal) -> ScannerError:
    sort = _ERRORS.get(refusal.kind, SecurerError)
    return sort(refusal.what, where=refusal.where, remedy=refusal.remedy)
