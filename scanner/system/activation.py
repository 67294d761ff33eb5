"""Sockets that a service manager opened for us: sd_listen_fds(3) without its library."""

from __future__ import annotations

import os
from collections.abc import MutableMapping

_FIRST = 3  # SD_LISTEN_FDS_START: after the standard streams
_MOST = 16  # we ask for one; more than this is a mistake, not a wish


def listen_descriptors(environ: MutableMapping[str, str], pid: int) -> list[int]:
    """The descriptors handed to this process; closed on exec from now on, and not to be asked for again.

    Args:
        environ: usually os.environ; the variables are removed, so that no child takes them for its own.
        pid: ours. Variables for another process (a parent that forgot to remove them) count for nothing.

    Returns:
        none when nobody handed over anything.
    """
    said, count = environ.pop("LISTEN_PID", ""), environ.pop("LISTEN_FDS", "")
    environ.pop("LISTEN_FDNAMES", None)
    if said != str(pid) or not count.isascii() or not count.isdigit() or not 0 < int(count) <= _MOST:
        return []
    found = list(range(_FIRST, _FIRST + int(count)))
    for fd in found:
        os.set_inheritable(fd, False)
    return found
