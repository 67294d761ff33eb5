"""The securer as a service: a listening socket, a bounded number of peers, a thread for each.

It ends when it is told to, or by itself when nobody has spoken to it for a while and a service manager
keeps the
socket: then the next question starts it again.
"""

from __future__ import annotations

import selectors
import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass

import structlog

from scanner.model.errors import ScannerError
from scanner.model.steps import StepState
from scanner.securer.conversation import converse
from scanner.securer.operations import Household
from scanner.securer.protocol import Refusal, encode_refusal
from scanner.system.descriptors import send
from scanner.system.peers import Peer, peer_of

# Connections at once. A daemon has one for each volume it scans and two for itself; root's are kept free,
# so that a daemon which was taken over can't lock root out.
_MOST, _FOR_ROOT = 64, 16
_LOOK_SECONDS = 1.0  # how often to look whether it is time to end
# Seconds that questions in hand may take when the service ends; the unit waits a little longer. What is cut
# off is finished or undone at the next start.
_LAST_SECONDS = 80.0

log = structlog.get_logger("hostsweep.securer")


@dataclass(frozen=True, slots=True)
class Terms:
    """Who may speak, and for how long nobody has to.

    Attributes:
        user: uid that may speak besides root.
        idle: seconds without a connection after which the service ends; None: never.
        again: seconds between two looks at what had to be left open: the name of a file that could not be put
            back may be free by now.
    """

    user: int
    idle: float | None = None
    again: float = 60.0


class Service:
    """Serves peers until stopped.

    Args:
        listener: listening SOCK_SEQPACKET socket; stays the caller's to close.
        house: what there is to be served.
    """

    def __init__(self, listener: socket.socket, house: Household, terms: Terms) -> None:
        self._listener = listener
        self._house = house
        self._terms = terms
        self._lock = threading.Lock()
        self._talks: dict[socket.socket, tuple[Peer, threading.Thread]] = {}
        self._recovery: threading.Thread | None = None

    def run(self, stop: int) -> None:
        """Serve until a byte can be read from the descriptor `stop`, or until idle for long enough."""
        self._listener.setblocking(False)
        quiet_since = looked = time.monotonic()
        with selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            selector.register(stop, selectors.EVENT_READ)
            while True:
                ready = [key.fd for key, _ in selector.select(_LOOK_SECONDS)]
                if stop in ready:
                    break
                if ready:
                    self._accept()
                now = time.monotonic()
                if self._busy():
                    quiet_since = now
                if now - looked >= self._terms.again and not self._recovers():
                    looked = now
                    self._recover()
                idle = self._terms.idle is not None and now - quiet_since > self._terms.idle
                if idle and not self._recovers():
                    break
        self._finish()

    def _recovers(self) -> bool:
        return self._recovery is not None and self._recovery.is_alive()

    def _recover(self) -> None:
        """In a thread of its own: it may copy a large file, or hang on storage that is gone."""

        def work() -> None:
            try:
                for note in self._house.recover():
                    if note.state is not StepState.INTENT:
                        log.warning("recovered", case=note.case_id, outcome=note.text)
            except ScannerError as e:
                log.error("recovery_failed", error=str(e))

        self._recovery = threading.Thread(target=work, name="recovery", daemon=True)
        self._recovery.start()

    def _busy(self) -> bool:
        with self._lock:
            return bool(self._talks)

    def _accept(self) -> None:
        try:
            sock, _ = self._listener.accept()
        except OSError as e:  # gone before it was taken, or no descriptor left: the next may do
            log.warning("accept_failed", reason=e.strerror)
            return
        try:
            peer = peer_of(sock)
            refusal = self._refusal(peer)
        except OSError:
            sock.close()
            return
        if refusal is not None:
            log.error("peer_refused", uid=peer.uid, pid=peer.pid, kind=refusal.kind)
            with sock, suppress(OSError):
                sock.settimeout(0)
                send(sock, encode_refusal(refusal))
            return
        thread = threading.Thread(target=self._talk, args=(sock, peer), daemon=True)
        with self._lock:
            self._talks[sock] = (peer, thread)
        thread.start()

    def _refusal(self, peer: Peer) -> Refusal | None:
        if peer.uid not in (0, self._terms.user):
            return Refusal("stranger", f"uid {peer.uid} may not speak to the securer")
        with self._lock:
            there = len(self._talks)
        if there >= _MOST or (peer.uid != 0 and there >= _MOST - _FOR_ROOT):
            return Refusal("busy", "the securer has too many connections")
        return None

    def _talk(self, sock: socket.socket, peer: Peer) -> None:
        try:
            with sock:
                converse(sock, peer, self._house)
        finally:
            with self._lock:
                del self._talks[sock]

    def _finish(self) -> None:
        """Let every peer have the answer it waits for, and ask for no more."""
        with self._lock:
            talks = list(self._talks.items())
        for sock, _ in talks:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RD)
        deadline = time.monotonic() + _LAST_SECONDS
        for _, (_, thread) in talks:
            thread.join(max(0.0, deadline - time.monotonic()))
        if self._recovery is not None:
            self._recovery.join(max(0.0, deadline - time.monotonic()))
