"""sd_notify(3): telling systemd how we are, without its library."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping

# Said once, so worth a wait; all else comes again, and must not hold the event loop of whoever says it.
_TURNS = frozenset({"READY", "RELOADING", "STOPPING"})
_TURN_SECONDS = 5.0  # for a service manager that is busy


def notify(environ: Mapping[str, str], **fields: str | int) -> bool:
    """Send one datagram of KEY=value lines, e.g. ``notify(os.environ, READY=1, STATUS="idle")``.

    Returns:
        False when nobody asked to be told (no NOTIFY_SOCKET), the socket is gone, or nobody reads it: what
        is repeated anyway is not waited for.
    """
    address = environ.get("NOTIFY_SOCKET", "")
    if not address or address[0] not in "/@":
        return False
    if address[0] == "@":
        address = "\0" + address[1:]
    message = "".join(f"{key}={value}\n" for key, value in fields.items())
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as s:
        s.settimeout(_TURN_SECONDS if _TURNS & fields.keys() else 0.0)
        try:
            s.connect(address)
            s.sendall(message.encode())
        except OSError:
            return False
    return True


def watchdog_seconds(environ: Mapping[str, str]) -> float | None:
    """How often systemd wants to hear WATCHDOG=1 from us: half of WATCHDOG_USEC; None if it doesn't ask."""
    try:
        limit = int(environ["WATCHDOG_USEC"])
    except (KeyError, ValueError):
        return None
    if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()) or limit <= 0:
        return None
    return limit / 2 / 1_000_000
