"""Open descriptors: closing those not needed, and passing them between processes over SOCK_SEQPACKET.

One message is one set of descriptors. socket.recv_fds of Python 3.11 ignores its flags, which would leave
the descriptors inheritable, so recvmsg is used directly.
"""

from __future__ import annotations

import array
import os
import socket
from collections.abc import Collection, Sequence

_CUT_SHORT = int(socket.MSG_CTRUNC | socket.MSG_TRUNC)  # enum arithmetic costs more than the call itself
_NO_LEAK = int(socket.MSG_CMSG_CLOEXEC)
MAX_DESCRIPTORS = 64  # of the kernel's 253 (SCM_MAX_FD); the cost per descriptor is flat from 32 on


def close_all_but(keep: Collection[int]) -> None:
    """Close every descriptor of this process but these; to be called while it has one thread."""
    for name in os.listdir("/proc/self/fd"):
        if int(name) not in keep:
            try:
                os.close(int(name))
            except OSError:
                pass  # the listing's own descriptor


def send(sock: socket.socket, message: bytes, descriptors: Sequence[int] = ()) -> None:
    """Send one message with its descriptors; they stay open here.

    Raises:
        OSError: EAGAIN on a full non-blocking socket, EPIPE when the peer is gone.
    """
    ancillary = []
    if descriptors:
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]
    sock.sendmsg([message], ancillary)


def receive(sock: socket.socket, size: int, descriptors: int = 0, flags: int = 0) -> tuple[bytes, list[int]]:
    """Receive one message of at most `size` bytes and at most that many descriptors.

    Args:
        flags: of recvmsg(2), besides those needed here.

    Returns:
        (b"", []) at the end of the stream.

    Raises:
        OSError: EAGAIN on an empty non-blocking socket.
        ValueError: the message or its descriptors did not fit; what came of them is closed.
    """
    space = socket.CMSG_SPACE(descriptors * 4) if descriptors else 0
    message, ancillary, how, _ = sock.recvmsg(size, space, flags | _NO_LEAK)
    if not ancillary and not how & _CUT_SHORT:
        return message, []
    received = array.array("i")
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            received.frombytes(data[: len(data) - len(data) % received.itemsize])
    if how & _CUT_SHORT:
        for fd in received:
            os.close(fd)
        raise ValueError("a message was cut short on its way")
    return message, list(received)
