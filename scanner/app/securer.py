"""The securer, built from the same configuration as the daemon, of which it reads volumes, vault and
brake."""

from __future__ import annotations

import os
import signal
import socket
import stat
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType

import structlog

from scanner.app.roots import root_of
from scanner.config import Config, load
from scanner.model.errors import BusyError, ConfigError, VaultError
from scanner.model.ports import Clock, Ids, SystemClock, SystemIds
from scanner.response import SecuringPolicy, VaultLimits
from scanner.securer import Allowance, Household, OwnVault, Service, Terms
from scanner.system import power
from scanner.system.activation import listen_descriptors
from scanner.system.locking import FileLock, LockHeld, Owners
from scanner.system.notify import notify

_BACKLOG = 64  # connections that may wait to be accepted

log = structlog.get_logger("hostsweep.securer")


def run(config_path: Path, *, idle: float | None) -> None:
    """Serve until SIGTERM or SIGINT, or until idle for so many seconds where a service manager has the
    socket.

    Raises:
        ConfigError: the configuration has no securer, or its vault lies where others could move it.
        BusyError: another securer has the vault or the socket.
        VaultError, LedgerError: the vault or its record can't be used.
    """
    power.not_dumpable()
    os.umask(0o077)
    config = load(config_path)
    handed = listen_descriptors(os.environ, os.getpid())
    path, vault = _paths(config)
    user = config.quarantine.securer_uid
    with ExitStack() as stack:
        house = stack.enter_context(household(config, vault))
        listener = stack.enter_context(_handed(handed) if handed else _bound(path, user))
        stop = stack.enter_context(_stopped_by_signals())
        service = Service(listener, house, Terms(user, idle if handed else None))
        notify(os.environ, READY=1, STATUS="waiting")
        log.info("securer_ready", volumes=len(house.volumes), user=user, handed=bool(handed))
        service.run(stop)
        notify(os.environ, STOPPING=1)
        log.info("securer_stopped")


def _paths(config: Config) -> tuple[Path, Path]:
    path, vault = config.quarantine.securer, config.quarantine.directory
    if path is None or vault is None:
        raise ConfigError(
            "the configuration names no securer",
            where=config.origin.file,
            remedy="Set quarantine.securer and quarantine.directory",
        )
    for directory in vault.parents:
        try:
            st = directory.lstat()
        except FileNotFoundError:
            continue
        others = stat.S_IMODE(st.st_mode) & 0o022 and not st.st_mode & stat.S_ISVTX
        if stat.S_ISLNK(st.st_mode) or st.st_uid not in (0, os.geteuid()) or others:
            raise ConfigError(
                f"{directory} is a link, or others than root may write it and put another vault in its place",
                where="quarantine.directory",
                remedy="Name a directory below /var/lib, say",
            )
    return path, vault


@contextmanager
def household(
    config: Config, vault: Path, clock: Clock | None = None, ids: Ids | None = None
) -> Iterator[Household]:
    """The vault with its record, held by this process alone; what dead ones left is put in order first.

    Raises:
        BusyError: another securer has the vault.
        VaultError, LedgerError: the vault or its record can't be used.
    """
    clock, ids = clock or SystemClock(), ids or SystemIds()
    quarantine = config.quarantine
    owners = Owners(vault / "owners")
    limits = VaultLimits(quarantine.reserve, quarantine.max_size)
    policy = SecuringPolicy(clear_immutable=quarantine.clear_immutable)
    own = OwnVault(vault, limits, clock, ids, lambda: owners, policy)
    own.prepare()
    with _alone(vault / "securer.lock"):
        owners.own(ids.new())
        try:
            volumes = {v.name: root_of(v) for v in config.volumes}
            house = Household(own, vault / "ledger.sqlite", volumes, clock, Allowance(config.brake.max_hits))
            _recover(house, owners)
            house.recall()
            yield house
        finally:
            owners.release()


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    try:
        lock = FileLock.acquire(path)
    except LockHeld as e:
        raise BusyError(
            f"another securer is running (process {e.holder or 'unknown'})", where=str(path)
        ) from e
    except OSError as e:
        raise VaultError(f"the vault can't be locked ({e.strerror})", where=str(path)) from e
    with lock:
        yield


def _recover(house: Household, owners: Owners) -> None:
    for note in house.recover():
        log.warning("recovered", case=note.case_id, outcome=note.text)
    house.vault.tidy()
    with house.record("securer") as ledger:
        owners.sweep({step.owner for step in ledger.open_steps()})


def _listening(fd: int) -> socket.socket:
    try:
        sock = socket.socket(fileno=fd)
        kind = sock.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE)
        listens = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as e:
        raise ConfigError(f"what the service manager handed over is no socket ({e.strerror})") from e
    if sock.family != socket.AF_UNIX or kind != socket.SOCK_SEQPACKET or not listens:
        raise ConfigError(
            "the service manager handed over a socket of another sort",
            remedy="Expected ListenSequentialPacket= with a path",
        )
    return sock


@contextmanager
def _handed(descriptors: list[int]) -> Iterator[socket.socket]:
    if len(descriptors) != 1:
        raise ConfigError(f"expected one socket of the service manager, got {len(descriptors)}")
    with _listening(descriptors[0]) as sock:
        yield sock


@contextmanager
def _bound(path: Path, user: int) -> Iterator[socket.socket]:
    """A socket of our own: made under another name, opened to `user` alone, and only then given its name.

    So whoever finds it there can speak to it, and a socket that a dead securer left is replaced in one step.
    """
    with ExitStack() as stack:
        try:
            path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            stack.enter_context(_alone(path.with_name(f".{path.name}.lock")))
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
            stack.enter_context(sock)
            part = path.with_name(f".{path.name}.{os.getpid()}")
            part.unlink(missing_ok=True)
            sock.bind(os.fspath(part))  # umask 077: nobody else can connect yet
            os.chown(part, user, -1)
            sock.listen(_BACKLOG)
            part.rename(path)
        except OSError as e:
            raise ConfigError(
                f"the socket can't be made ({e.strerror or e})",
                where=str(path),
                remedy="Check quarantine.securer: its directory, and that the path is short",
            ) from e
        stack.callback(path.unlink, missing_ok=True)
        yield sock


@contextmanager
def _stopped_by_signals() -> Iterator[int]:
    """A descriptor that can be read once SIGTERM or SIGINT came."""
    reader, writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def told(number: int, frame: FrameType | None) -> None:
        try:
            os.write(writer, b"\0")
        except BlockingIOError:
            pass  # told often enough

    def died(args: threading.ExceptHookArgs) -> None:
        log.error("peer_failed", error=str(args.exc_value), kind=args.exc_type.__name__)

    before = [(n, signal.signal(n, told)) for n in (signal.SIGTERM, signal.SIGINT)]
    hook, threading.excepthook = threading.excepthook, died
    try:
        yield reader
    finally:
        threading.excepthook = hook
        for number, handler in before:
            signal.signal(number, handler)
        os.close(reader)
        os.close(writer)
