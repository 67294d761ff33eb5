"""What clients may use, and who is told when they want more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Limits:
    """What clients may use. Seconds, bytes, and requests a second.

    Attributes:
        idle_seconds: to send a whole request, and to wait for the next one. Prometheus scrapes every
            15 to 60 s and doesn't mind to connect anew.
        request_seconds: to make an answer.
        answer_seconds: to take an answer off us, once the kernel's buffer is full.
        connections: open at the same time; more are closed at once.
        line_bytes: of the request line and of each header.
        headers: of one request.
        body_bytes: of one request; none is read, so this is only what curl and the like send by themselves.
        peer_rate, peer_burst: requests of one peer. A dozen Prometheus servers behind one address that each
            ask for /metrics and /readyz every second stay below it.
        rate, burst: requests of all peers together.
        refusal_rate, refusal_burst: of one peer, with a wrong token or none where one is needed.
        refusal_seconds: every such refusal takes so long, whatever was wrong.
        peers: of how many is remembered how much they asked.
        fresh_seconds: how long an answer that is costly to make is given to others as well.
    """

    idle_seconds: float = 15.0
    request_seconds: float = 20.0
    answer_seconds: float = 20.0
    connections: int = 64
    line_bytes: int = 4096
    headers: int = 64
    body_bytes: int = 1024
    peer_rate: float = 25.0
    peer_burst: float = 100.0
    rate: float = 200.0
    burst: float = 400.0
    refusal_rate: float = 1.0
    refusal_burst: float = 10.0
    refusal_seconds: float = 0.5
    peers: int = 1024
    fresh_seconds: float = 1.0


class Watcher(Protocol):
    """Counts what happens. May be called from the event loop only; must not block."""

    def http_request(self, endpoint: str, status: int) -> None:
        """A request was answered; `endpoint` is the name of one of ours, "other" for everything else."""

    def http_limited(self, reason: str) -> None:
        """A limit was met: rate, connections, slow, body, token, time."""


class Nobody:
    """A watcher that doesn't look."""

    def http_request(self, endpoint: str, status: int) -> None:
        return

    def http_limited(self, reason: str) -> None:
        return
