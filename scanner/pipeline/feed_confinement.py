"""What the processes that fetch and read lists give up before they meet anything of a publisher's.

A server answers what it likes, and a list may break any parser: both are assumed to be taken over. What is
left to them is one folder to write in, the memory and time they may use and, for the fetching one,
connections. They see no volume, no vault, no catalog or ledger and no list but their own.

Everything is applied in the only thread, and in this order: limits while they can still be set, the user
before what a change of user resets (the death signal, dumpability), what forbids system calls last.
"""

from __future__ import annotations

import os
import resource
import ssl
import sys
import sysconfig
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import scanner
from scanner.system import landlock, power, refusing
from scanner.system.descriptors import close_all_but

_DESCRIPTORS = 256  # connections, their look-ups and threads; far fewer are in use
# Shared libraries, which imports and name resolution load late.
_LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache")
_DEVICES = ("/dev/null", "/dev/urandom")
# Of the C library's resolver; where one is a link, the rule is for what it leads to.
_RESOLVER = ("resolv.conf", "hosts", "nsswitch.conf", "services", "gai.conf", "host.conf", "protocols")
_CERTIFICATES = ("/etc/ssl", "/etc/pki", "/usr/share/ca-certificates", "/usr/local/share/ca-certificates")


class Orphaned(Exception):
    """The parent died before the process could tie itself to it."""


@dataclass(frozen=True, slots=True)
class Confinement:
    """What the parent decides.

    Attributes:
        parent_pid: the process ends with this one.
        user: numbers of the user and group to become when started as root; None: whoever it is.
        memory: bytes of address space.
        seconds: of processor time.
        file_size: bytes of any one file it writes.
    """

    parent_pid: int
    user: tuple[int, int] | None
    memory: int
    seconds: int
    file_size: int

    @classmethod
    def of(cls, order: Mapping[str, Any]) -> Confinement:
        """From its form in an order."""
        user = order["user"]
        numbers = None if user is None else (int(user[0]), int(user[1]))
        return cls(order["parent_pid"], numbers, order["memory"], order["seconds"], order["file_size"])


def enter(
    confinement: Confinement, *, network: bool, keep: Collection[int] = (), programs: Collection[str] = ()
) -> tuple[str, ...]:
    """Give everything up; the current directory is all that can be written from here on.

    Args:
        network: connections may be made.
        keep: descriptors that stay open, besides the three standard streams.
        programs: what may be executed, with its loader; nothing else may.

    Returns:
        the layers in force.

    Raises:
        OSError: a layer was refused; the process must not go on.
        Orphaned: there is nobody to work for.
    """
    close_all_but({0, 1, 2, *keep})
    os.umask(0o077)
    _limit(confinement)
    layers = ["limits"]
    read = [*_code(), *_DEVICES, *(_network_files() if network else ())]
    if os.geteuid() == 0 and confinement.user is not None:
        power.drop_user(*confinement.user)
        layers.append("user")
    power.drop_capabilities()
    power.no_new_privs()
    power.die_with_parent()
    if os.getppid() != confinement.parent_pid:
        raise Orphaned
    if landlock.restrict(read=[p for p in read if _within_reach(p)], write=(".",), run=programs, tcp=network):
        layers.append("landlock")
    power.not_dumpable()
    if refusing.refuse(network=not network, programs=not programs):
        layers.append("seccomp")
    return tuple(layers)


def _limit(confinement: Confinement) -> None:
    power.lower_limit(resource.RLIMIT_AS, confinement.memory)
    power.lower_limit(resource.RLIMIT_NOFILE, _DESCRIPTORS)
    power.lower_limit(resource.RLIMIT_FSIZE, confinement.file_size)
    power.lower_limit(resource.RLIMIT_CPU, confinement.seconds)
    power.lower_limit(resource.RLIMIT_CORE, 0)


def _code() -> list[str]:
    """Where the interpreter, its packages (plug-ins among them) and shared libraries lie."""
    paths = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    paths.update(sys.path)
    paths.add(str(Path(scanner.__file__).parent))  # a checkout that is installed in place
    return [*sorted(paths - {""}), *_LIBRARIES]


def _network_files() -> list[str]:
    places = ssl.get_default_verify_paths()
    named = (places.cafile, places.capath, places.openssl_cafile, places.openssl_capath)
    certificates = {os.path.realpath(path) for path in named if path}
    return [*sorted(certificates), *_CERTIFICATES, *(f"/etc/{name}" for name in _RESOLVER)]


def _within_reach(path: str) -> bool:
    """What is missing, or closed to this user, can't be opened for a rule, and can't be read anyhow."""
    try:
        os.close(os.open(path, os.O_PATH | os.O_CLOEXEC))
    except OSError:
        return False
    return True
