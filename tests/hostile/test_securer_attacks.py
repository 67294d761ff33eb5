"""A daemon that was taken over speaks to the securer: nothing but hashed files of the volume ever moves."""

from __future__ import annotations

import hashlib
import os
import random
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fakes_response import NOW_NS
from fakes_securer import (
    CAP_DAC_OVERRIDE,
    CUSTOMER,
    DAEMON,
    STRANGER,
    SecurerHost,
    as_user,
    described,
    jsonable,
    until,
)

from scanner.model.errors import SecurerError
from scanner.model.steps import Step, StepKind, StepState
from scanner.securer import Allowance
from scanner.securer.allowance import WINDOW_NS
from scanner.securer.client import Connection
from scanner.securer.protocol import MAX_FRAME, Ask, FileAsk, Op, encode_ask
from scanner.system import power
from scanner.system.descriptors import receive, send
from scanner.system.opening import DIRECTORY_FLAGS

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecurerHost]:
    host = SecurerHost.build(tmp_path_factory.mktemp("attacks")).start()
    yield host
    assert host.stop() == 0, host.log
    assert "Traceback" not in host.log


@pytest.fixture
def file(host: SecurerHost, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A customer's file; after the attack it is where it was, as it was, and the vault has nothing new."""
    items = host.items()
    path = host.save(f"{request.node.name[:60]}/a.jpg")
    before = path.stat()
    yield path
    after = path.stat()
    assert (after.st_ino, after.st_uid, after.st_mode, after.st_mtime_ns) == (
        before.st_ino, before.st_uid, before.st_mode, before.st_mtime_ns
    )  # fmt: skip
    assert path.read_bytes() == b"illegal by its list"
    assert host.items() == items
    assert host.staged() == []


def outcome(said: dict[str, Any]) -> tuple[str, str]:
    return said["answer"]["outcome"], said["answer"]["kind"]


def test_an_honest_request_is_secured(host: SecurerHost) -> None:
    path = host.save("honest/a.jpg")
    assert outcome(host.secure(path)) == ("secured", "secured")
    assert not path.exists()
    assert host.staged() == []


@pytest.mark.parametrize(
    "claims",
    [
        {"volume": "other"},
        {"root": b"/etc"},
        {"volume": "web", "root": b"/"},
        {"directory": b"../www"},
        {"directory": b"a//b"},
        {"name": b"../a.jpg"},
        {"name": b".."},
        {"digests": {}},
        {"inode": 1},
        {"device": 1},
    ],
    ids=str,
)
def test_a_claim_that_is_not_so_is_refused(host: SecurerHost, file: Path, claims: dict[str, Any]) -> None:
    assert outcome(host.secure(file, **claims)) == ("failed", "refused")


def test_a_file_outside_of_every_volume_is_refused(host: SecurerHost, file: Path) -> None:
    secret = host.base / "secret"
    secret.write_bytes(b"not in a volume")
    said = host.secure(secret, root=os.fsencode(host.base), volume="web", directory=b"")
    assert outcome(said) == ("failed", "refused")
    # The volume named rightly, the descriptors from elsewhere: the directory is not the one at that path.
    said = host.secure(secret, directory=b"")
    assert outcome(said) == ("failed", "changed")
    assert secret.read_bytes() == b"not in a volume"


def test_a_way_over_a_symbolic_link_is_refused(host: SecurerHost, file: Path) -> None:
    outside = host.base / "outside"
    outside.mkdir()
    (outside / "a.jpg").write_bytes(b"outside")
    link = host.volume / "link"
    link.symlink_to(outside)
    try:
        said = host.secure(link / "a.jpg", directory_fd=lambda: os.open(outside, DIRECTORY_FLAGS))
        assert outcome(said) == ("failed", "changed")
        (host.volume / "to-file").symlink_to(outside / "a.jpg")
        said = host.secure(outside / "a.jpg", directory=b"", name=b"to-file",
                           directory_fd=lambda: os.open(host.volume, DIRECTORY_FLAGS))  # fmt: skip
        assert outcome(said) == ("raced", "raced")
    finally:
        link.unlink()
        (host.volume / "to-file").unlink()
    assert (outside / "a.jpg").read_bytes() == b"outside"


def test_descriptors_of_another_sort_are_refused(host: SecurerHost, file: Path) -> None:
    fifo = host.base / "fifo"
    if not fifo.exists():
        os.mkfifo(fifo)
    file.chmod(0o666)
    for fd in (
        lambda: os.open(file, os.O_RDWR),
        lambda: os.open(file, os.O_WRONLY),
        lambda: os.open(file, os.O_PATH),
        lambda: os.open(file.parent, DIRECTORY_FLAGS),
        lambda: os.open(fifo, os.O_RDONLY | os.O_NONBLOCK),
        lambda: os.open("/dev/null", os.O_RDONLY),
        lambda: socket.socket().detach(),
    ):
        # The daemon's own user may write this one, so that such a descriptor can be had at all.
        said = as_sharing_customer(host, file, fd)
        assert outcome(said) == ("failed", "refused")
    for directory_fd in (
        lambda: os.open(file.parent, os.O_PATH),
        lambda: os.open(file, os.O_RDONLY),
    ):
        assert outcome(host.secure(file, directory_fd=directory_fd)) == ("failed", "refused")
    file.chmod(0o600)


def as_sharing_customer(host: SecurerHost, file: Path, fd: Any) -> dict[str, Any]:
    file.parent.chmod(0o777)
    try:
        return host.secure(file, fd=fd)
    finally:
        file.parent.chmod(0o700)


def test_the_descriptor_of_another_file_than_the_name_moves_neither(host: SecurerHost, file: Path) -> None:
    other = host.save("other/b.jpg", b"something else")
    said = host.secure(other, directory=file.parent.name.encode(), name=b"a.jpg",
                       directory_fd=lambda: os.open(file.parent, DIRECTORY_FLAGS))  # fmt: skip
    assert outcome(said) == ("raced", "raced")
    assert outcome(host.secure(file, fd=lambda: os.open(other, os.O_RDONLY))) == ("failed", "refused")
    assert other.read_bytes() == b"something else"


def test_a_digest_that_the_bytes_do_not_have_puts_the_file_back(host: SecurerHost, file: Path) -> None:
    assert outcome(host.secure(file, digests={"sha256": b"\1" * 32})) == ("changed", "changed")


def test_a_file_written_to_since_it_was_hashed_stays(host: SecurerHost, file: Path) -> None:
    assert outcome(host.secure(file, size=3)) == ("changed", "changed")
    assert outcome(host.secure(file, ctime_ns=NOW_NS)) == ("changed", "changed")


def test_nothing_in_staging_and_nothing_of_the_vault_is_secured(host: SecurerHost, file: Path) -> None:
    staging = host.volume / ".hostsweep-staging"
    host.secure(file, digests={"sha256": b"\1" * 32})  # so that there is a staging folder
    deeper = host.volume / "mounted" / ".hostsweep-staging"
    deeper.mkdir(parents=True)
    for folder in (staging, deeper):
        (folder / "x").write_bytes(b"in flight")
        assert outcome(host.secure(folder / "x")) == ("failed", "refused")
        (folder / "x").unlink()
    os.chown(deeper, CUSTOMER, CUSTOMER)  # a folder of that name which is a customer's own is as any other
    (deeper / "x").write_bytes(b"a customer's")
    said = host.secure(deeper / "x", digests={"sha256": b"\1" * 32})
    assert outcome(said) == ("changed", "changed")


@pytest.mark.parametrize("count", [0, 1, 3, 40])
def test_too_few_and_too_many_descriptors_end_the_conversation(
    host: SecurerHost, file: Path, count: int
) -> None:
    def work() -> Any:
        fds = [os.open("/dev/null", os.O_RDONLY) for _ in range(count)]
        sock = host.raw()
        send(sock, encode_ask(honest(host, file)), fds)
        answers = [receive(sock, MAX_FRAME)[0], receive(sock, MAX_FRAME)[0]]
        return [a[:4].hex() for a in answers]

    assert as_user(DAEMON, work)["answer"] == ["53560104", ""]


def honest(host: SecurerHost, file: Path) -> Ask:
    fd = os.open(file, os.O_RDONLY)
    try:
        return Ask(Op.SECURE, file=FileAsk(**described(host.volume, file, fd)))
    finally:
        os.close(fd)


@pytest.mark.parametrize(
    "frame",
    [b"garbage", b"SV", b"SV\x01\x01{}", b"SV\x02\x01{}", b"SV\x01\x03{}", b"x" * (MAX_FRAME + 1),
     b'SV\x01\x01{"op":"items","more":1}'],
    ids=lambda f: repr(f[:12]),
)  # fmt: skip
def test_garbage_ends_the_conversation_and_nothing_else(host: SecurerHost, file: Path, frame: bytes) -> None:
    def work() -> Any:
        sock = host.raw()
        send(sock, frame)
        answers = [receive(sock, MAX_FRAME)[0], receive(sock, MAX_FRAME)[0]]
        return [a[:4].hex() for a in answers]

    assert as_user(DAEMON, work)["answer"] == ["53560104", ""]
    assert host.ask(Ask(Op.READY)) == {"answer": {}}


@pytest.mark.parametrize(
    "ask",
    [Ask(Op.RESTORE, item_id="abcdef"), Ask(Op.RESTORED, item_id="abcdef", path=b"/x"),
     Ask(Op.PURGE, item_id="abcdef"), Ask(Op.VERIFY), Ask(Op.RECORD), Ask(Op.RELEASE)],
    ids=lambda a: str(a.op),
)  # fmt: skip
def test_what_is_roots_is_refused_to_the_daemon(host: SecurerHost, ask: Ask) -> None:
    assert "is for root alone" in host.ask(ask)["error"]


def test_content_is_not_given_to_the_daemon(host: SecurerHost) -> None:
    host.save("kept/a.jpg")
    assert outcome(host.secure(host.volume / "kept" / "a.jpg"))[0] == "secured"
    item = host.items()[-1].stem
    target = host.base / "stolen"

    def work() -> Any:
        fd = os.open(target, os.O_RDWR | os.O_CREAT, 0o600)
        return jsonable(host.connection().ask(Ask(Op.COPY, item_id=item), [fd], seconds=10))

    target.touch()
    os.chown(target, DAEMON, DAEMON)
    assert "is for root alone" in as_user(DAEMON, work)["error"]
    assert target.read_bytes() == b""


def test_a_stranger_is_refused_by_his_uid_and_by_the_sockets_mode(host: SecurerHost, file: Path) -> None:
    assert "PermissionError" in as_user(STRANGER, lambda: host.raw() and None)["error"]
    # With the power to pass by the mode of the socket, his uid still tells who he is.
    said = as_user(STRANGER, lambda: host.connection().ask(Ask(Op.READY), seconds=10), [CAP_DAC_OVERRIDE])
    assert f"uid {STRANGER} may not speak" in said["error"]
    assert "peer_refused" in host.log


def test_a_process_in_the_securers_place_is_not_given_a_descriptor(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    path = tmp_path / "socket"

    child = os.fork()
    if child == 0:
        try:
            power.become(STRANGER, STRANGER, [CAP_DAC_OVERRIDE])
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            sock.bind(str(path) + ".new")
            sock.listen()
            os.rename(str(path) + ".new", path)
            sock.accept()
            until(lambda: False, 60)
        finally:
            os._exit(0)
    try:
        until(path.exists)
        with pytest.raises(SecurerError, match=f"uid {STRANGER} listens in the securer's place"):
            Connection.open(path)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_the_securer_carries_nothing_of_scanning() -> None:
    """What isn't loaded can't be attacked: no decoders, no parsers of lists, no HTTP, no walk."""
    loaded = "import scanner.cli.securer, scanner.app.securer, sys; print(*sys.modules)"
    said = subprocess.run([sys.executable, "-c", loaded], capture_output=True, check=True, text=True).stdout
    rooms = ("pipeline", "hashing", "feeds", "index", "http", "catalog", "sources")
    rooms = ("pipeline", "hashing", "feeds", "index", "http", "catalog", "sources")
    heavy = {"numpy", "PIL", "aiohttp", "ijson", "imagehash", *(f"scanner.{room}" for room in rooms)}
    assert not heavy & set(said.split())


def test_daemons_cannot_take_the_connections_kept_for_root(host: SecurerHost) -> None:
    def work() -> Any:
        held = [host.raw() for _ in range(60)]
        refused = 0
        for sock in held:
            try:
                send(sock, encode_ask(Ask(Op.READY)))
            except BrokenPipeError:
                pass
            try:
                refused += receive(sock, MAX_FRAME)[0][3] == 4
            except ConnectionError:
                refused += 1
        return refused

    assert 60 - 48 <= as_user(DAEMON, work)["answer"] < 60
    assert host.ask(Ask(Op.READY), uid=0) == {"answer": {}}


def test_the_securers_own_brake_holds_over_a_restart_until_root_releases_it(tmp_path: Path) -> None:
    host = SecurerHost.build(tmp_path, max_hits=2).start()
    files = [host.save(f"{n}/a.jpg", f"content {n}".encode()) for n in range(4)]
    kinds = [outcome(host.secure(f))[1] for f in files]
    assert kinds == ["secured", "secured", "brake", "brake"]
    host.stop()
    host.start()
    assert outcome(host.secure(files[2]))[1] == "brake"
    assert "is for root alone" in host.ask(Ask(Op.RELEASE))["error"]
    assert host.ask(Ask(Op.RELEASE), uid=0) == {"answer": {"released": True}}
    assert outcome(host.secure(files[2]))[1] == "secured"
    assert files[3].exists()
    assert host.stop() == 0


def test_the_allowance_counts_a_day_and_what_failed_apart_from_what_was_kept() -> None:
    allowance = Allowance(2)
    day = WINDOW_NS
    done = Step("1", StepKind.SECURE, "c", "q", "o", day, {}, StepState.DONE)
    undone = Step("2", StepKind.SECURE, "c", "q", "o", day + 1, {}, StepState.UNDONE)
    restored = Step("3", StepKind.RESTORE, "c", "q", "o", day + 2, {}, StepState.DONE)
    allowance.recall([done, undone, restored])
    assert allowance.take(day + 3)
    assert not allowance.take(day + 4)
    allowance.give_back(day + 3)
    assert allowance.take(day + 5)
    assert allowance.take(2 * day)  # the first is a day old
    for n in range(30):  # failing is bounded too
        if not allowance.take(3 * day + 10 + n):
            break
        allowance.give_back(3 * day + 10 + n)
    assert n == 20


def test_the_customer_still_owns_his_directories(host: SecurerHost) -> None:
    assert (host.volume / "kept").stat().st_uid == CUSTOMER


def test_a_name_that_is_swapped_all_the_time_never_brings_another_file_into_the_vault(
    host: SecurerHost,
) -> None:
    """A customer changes a listed file for an innocent one, and for a link, while it is secured."""
    listed, innocent = host.save("swapped/a.jpg"), host.save("swapped/b.jpg", b"innocent")
    secret = host.base / "roots-secret"
    secret.write_bytes(b"secret")
    items = set(host.items())
    child = os.fork()
    if child == 0:
        try:
            swap(listed, innocent, secret)
        finally:
            os._exit(0)
    found: list[str] = []
    try:
        while len(found) < 40 or ("secured" not in found and len(found) < 400):
            try:
                found.append(outcome(host.secure(listed, digests={"sha256": SHA256}))[0])
            except KeyError:  # it could not be opened at this moment
                found.append("missed")
            if found[-1] == "secured":
                listed.with_name("fresh").write_bytes(b"illegal by its list")
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert "secured" in found and {"raced", "changed", "vanished"} & set(found), "nobody raced"
    new = set(host.items()) - items
    assert len(new) == found.count("secured")
    objects = [p.read_bytes() for p in (host.vault / "objects").rglob("*") if p.is_file()]
    assert b"innocent" not in objects and b"secret" not in objects
    assert secret.read_bytes() == b"secret"
    assert b"innocent" in [p.read_bytes() for p in listed.parent.iterdir() if p.is_file()]
    assert host.staged() == []


SHA256 = hashlib.sha256(b"illegal by its list").digest()


def swap(listed: Path, innocent: Path, secret: Path) -> None:
    aside, fresh = listed.with_name("aside"), listed.with_name("fresh")
    while True:
        for source, target in ((listed, aside), (innocent, listed), (listed, innocent), (aside, listed),
                               (fresh, listed)):  # fmt: skip
            try:
                if not target.exists():
                    source.rename(target)
            except FileNotFoundError:
                pass
        try:
            listed.symlink_to(secret)
            listed.unlink()
        except OSError:
            pass
        select.select([], [], [], random.uniform(0, 0.05))  # about as long as a question takes
