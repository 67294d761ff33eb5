"""Connections that can't be held open, and that tell nothing of the software behind them.

aiohttp's own answer to a malformed request quotes it and names its version; nothing limits how many
connections are open, and an answer that its client never takes is kept for ever. All of that is changed
here, on the class that aiohttp makes public.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import struct
from typing import cast

from aiohttp import web

from scanner.http.limits import Limits, Watcher
from scanner.http.problems import SERVER, problem

_UCRED = struct.Struct("3i")  # pid, uid, gid: unix(7), SO_PEERCRED
_IPV6_NETWORK = 64  # bits: what one subscriber has is all one peer


class Connection(web.RequestHandler):
    """One client's connection.

    Attributes:
        peer: who it is, as far as limits go: an address, a network of IPv6, or a user of this machine.
    """

    __slots__ = ("_limits", "_slow", "_watcher", "peer")

    def __init__(self, server: web.Server, limits: Limits, watcher: Watcher) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=limits.idle_seconds,
            lingering_time=1.0,  # for a body that nobody reads
            max_line_size=limits.line_bytes,
            max_field_size=limits.line_bytes,
            max_headers=limits.headers,
            access_log=None,  # type: ignore[arg-type]  # None is how aiohttp says: none
        )
        self._limits = limits
        self._watcher = watcher
        self._slow: asyncio.TimerHandle | None = None
        self.peer = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        stream = cast(asyncio.Transport, transport)
        if self._manager is not None and len(self._manager.connections) >= self._limits.connections:
            self._watcher.http_limited("connections")
            stream.abort()
            return
        self.peer = peer_of(stream)
        # "Paused" then means: there is something that the client does not take.
        stream.set_write_buffer_limits(high=0)
        super().connection_made(transport)

    def pause_writing(self) -> None:
        super().pause_writing()
        loop = asyncio.get_running_loop()
        self._slow = loop.call_later(self._limits.answer_seconds, self._give_up, self.transport)

    def resume_writing(self) -> None:
        self._no_longer_slow()
        super().resume_writing()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._no_longer_slow()
        super().connection_lost(exc)

    def _give_up(self, transport: asyncio.Transport | None) -> None:
        if transport is not None:
            self._watcher.http_limited("slow")
            transport.abort()

    def _no_longer_slow(self) -> None:
        if self._slow is not None:
            self._slow.cancel()
            self._slow = None

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what is no HTTP; neither the log nor the answer quotes it."""
        if request.writer.output_size > 0:
            raise ConnectionError("an answer was begun and can't be taken back")
        self._watcher.http_request("other", status)
        response = problem(status, {"Server": SERVER})
        response.force_close()
        return response


def peer_of(transport: asyncio.BaseTransport) -> str:
    """Who is at the other end."""
    sock = transport.get_extra_info("socket")
    if sock is not None and sock.family == socket.AF_UNIX:
        _, uid, _ = _UCRED.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
        return f"uid {uid}"
    name = transport.get_extra_info("peername")
    return network_of(name[0]) if name else ""


def network_of(host: str) -> str:
    """An address as a peer: IPv4 by itself, IPv6 by its network."""
    address = ipaddress.ip_address(host.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, _IPV6_NETWORK), strict=False))
    return str(address)
