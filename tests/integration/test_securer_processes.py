"""The securer and who asks it die at any moment: the file is at its place or whole in the vault, and it is
told."""

from __future__ import annotations

import hashlib
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fakes_response import digests_of
from fakes_securer import CASE, CUSTOMER, DAEMON, SecurerHost, as_user, until

from scanner.app.recovering import retry_steps
from scanner.ledger import Ledger
from scanner.model.errors import NotFoundError, SecurerError, VaultError
from scanner.model.files import FileStat
from scanner.model.hashes import Digests
from scanner.model.matches import Action, Case, CaseState, Match
from scanner.model.ports import SystemClock
from scanner.pipeline.reporting import Reporters
from scanner.response import KEPT_IN_STAGING, LEFT_IN_STAGING, SecureRequest
from scanner.securer import RemoteVault
from scanner.system import power
from scanner.system.inhand import InHand
from scanner.system.opening import DIRECTORY_FLAGS, open_directory, open_regular

pytestmark = pytest.mark.root

# Large enough that copying and hashing it takes a while, so that there is something to be killed in.
_LARGE = 32 << 20


@pytest.fixture
def host(tmp_path: Path) -> Iterator[SecurerHost]:
    made = SecurerHost.build(tmp_path)
    yield made
    made.stop()
    if made.process is not None:
        assert "Traceback" not in made.log


def vault_of(host: SecurerHost) -> RemoteVault:
    return RemoteVault(host.socket, {"web": os.fsencode(host.volume)}, SystemClock())


def secure(host: SecurerHost, path: Path, root: Path | None = None) -> dict[str, Any]:
    """Secure a file as a scan in the daemon does, from opening on."""
    root = root or host.volume
    directory = b"" if path.parent == root else os.fsencode(path.parent.relative_to(root))
    root_fd = os.open(root, DIRECTORY_FLAGS)
    directory_fd = open_directory(root_fd, directory)
    fd, st = open_regular(directory_fd, os.fsencode(path.name))
    request = SecureRequest(
        volume="web", root=os.fsencode(root), root_fd=root_fd, directory=directory,
        name=os.fsencode(path.name), fd=fd, stat=FileStat.of(os.fsencode(path.name), st),
        directory_fd=directory_fd, digests=digests_of(fd), case_id=CASE,
    )  # fmt: skip
    said = vault_of(host).securing(None).secure(request)
    return {"outcome": str(said.outcome), "kind": said.kind, "text": said.text, "id": said.quarantine_id}


def large(host: SecurerHost) -> Path:
    return host.save("big/a.bin", os.urandom(1 << 20) * (_LARGE >> 20))


def whole_in_vault(host: SecurerHost, content_sha256: str) -> bool:
    path = host.vault / "objects" / content_sha256[:2] / content_sha256
    return path.exists() and hashlib.sha256(path.read_bytes()).hexdigest() == content_sha256


def in_thread(work: Callable[[], Any]) -> tuple[threading.Thread, list[Any]]:
    said: list[Any] = []
    thread = threading.Thread(target=lambda: said.append(work()))
    thread.start()
    return thread, said


def test_a_daemon_without_power_has_files_secured_and_root_gets_them_back(
    host: SecurerHost,
) -> None:
    host.start()
    path = host.save("closed/a.jpg")
    os.setxattr(path, "user.note", b"kept")
    before = path.stat()
    said = as_user(DAEMON, lambda: secure(host, path))["answer"]
    assert (said["outcome"], path.exists(), host.staged()) == ("secured", False, [])
    vault = vault_of(host)
    (item,) = vault.items()
    assert (item.id, item.case_id, item.volume, item.path) == (said["id"], CASE, "web", b"closed/a.jpg")
    assert vault.usage() == (1, before.st_size)
    assert vault.get(item.id[:10]) == item
    assert vault.verify().sound
    record = vault.record("")
    assert record is not None and record.ok and record.head.startswith("3:")
    vault.export(item.id, host.base / "out")
    assert (host.base / "out").read_bytes() == b"illegal by its list"
    assert vault.restore(item.id, host.base / "elsewhere", None) == os.fsencode(host.base / "elsewhere")
    with pytest.raises(VaultError, match="taken"):
        vault.restore(item.id, host.base / "elsewhere", None)
    assert vault.restore(item.id, None, None) == os.fsencode(path)
    for place in (path, host.base / "elsewhere"):
        st = place.stat()
        assert (st.st_uid, st.st_mode, st.st_mtime_ns) == (CUSTOMER, before.st_mode, before.st_mtime_ns)
        assert os.getxattr(place, "user.note") == b"kept"
    with Ledger.open(host.vault / "ledger.sqlite", read_only=True) as ledger:
        actors = {e.actor for e in ledger.events()}
        assert actors == {f"securer (asked by uid {DAEMON})", "securer (asked by uid 0)"}
        assert ledger.verify().ok and not ledger.changed_tables()
    assert not vault.purge(lambda i: False, secured_before_ns=2**62)
    assert [i.id for i in vault.purge(lambda i: True, item_id=item.id)] == [item.id]
    with pytest.raises(NotFoundError):
        vault.get("nothing-like-it")


def test_a_scan_of_a_directory_within_a_volume_is_secured_as_part_of_the_volume(host: SecurerHost) -> None:
    host.start()
    path = host.save("a/b.jpg")
    assert as_user(DAEMON, lambda: secure(host, path, root=path.parent))["answer"]["outcome"] == "secured"
    assert vault_of(host).items()[0].place.directory == b"a"
    outside = host.base / "outside"
    outside.mkdir()
    (outside / "x").write_bytes(b"x")
    said = as_user(DAEMON, lambda: secure(host, outside / "x", root=outside))["answer"]
    assert (said["kind"], (outside / "x").exists()) == ("securer", True)


def test_without_a_securer_a_file_stays_and_the_reason_is_told(host: SecurerHost) -> None:
    path = host.save("a/b.jpg")
    said = as_user(DAEMON, lambda: secure(host, path))["answer"]
    assert (said["outcome"], said["kind"], path.exists()) == ("failed", "securer", True)
    assert "can't be reached" in said["text"]
    with pytest.raises(SecurerError, match="can't be reached"):
        vault_of(host).usage()


def test_a_path_that_is_too_long_to_be_asked_for_is_told(host: SecurerHost) -> None:
    from scanner.model.hashes import Digests
    from scanner.securer.protocol import MAX_PATH

    stat = FileStat(b"n", 1, 1, 1, 1, 1, 1, 1)
    digests = Digests(1, "", {"md5": b"1" * 16})
    long = b"d/" * (MAX_PATH // 2) + b"x"
    request = SecureRequest("web", os.fsencode(host.volume), -1, long, b"n", -1, stat, -1, digests, CASE)
    assert vault_of(host).securing(None).secure(request).kind == "path_too_long"


def test_a_securer_killed_in_the_middle_is_asked_again_when_it_is_back(host: SecurerHost) -> None:
    host.start()
    path = large(host)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    thread, said = in_thread(lambda: as_user(DAEMON, lambda: secure(host, path)))
    until(host.being_copied)
    host.kill()
    assert host.staged() and not path.exists(), "killed too late to show anything"
    assert not whole_in_vault(host, digest)
    assert len(os.listdir(host.vault / "owners")) == 1
    host.start()  # puts it back, and is then asked again
    assert len(os.listdir(host.vault / "owners")) == 1, "the dead one's token is still there"
    thread.join(60)
    assert said[0]["answer"]["outcome"] == "secured"
    assert (path.exists(), host.staged(), len(host.items())) == (False, [], 1)
    assert whole_in_vault(host, digest)


def test_a_securer_that_stays_away_has_put_the_file_back_at_its_next_start(host: SecurerHost) -> None:
    host.start()
    path = large(host)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    dead, said = in_thread(lambda: as_user(DAEMON, lambda: secure_impatiently(host, path)))
    until(host.being_copied)
    host.kill()
    dead.join(60)
    assert said[0]["answer"]["kind"] == "securer"
    assert host.staged()
    host.start()
    assert hashlib.sha256(path.read_bytes()).hexdigest() == digest
    assert (host.staged(), host.items()) == ([], [])
    assert vault_of(host).outcome(CASE, 0)["state"] == "undone"


def secure_impatiently(host: SecurerHost, path: Path) -> dict[str, Any]:
    from scanner.securer import remote

    remote._AGAIN_SECONDS = 0.5  # in a child of its own
    return secure(host, path)


def test_whoever_asked_dies_and_the_file_is_in_the_vault_all_the_same(host: SecurerHost) -> None:
    host.start()
    path = large(host)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    child = os.fork()
    if child == 0:
        try:
            power.become(DAEMON, DAEMON, [power.CAP_DAC_READ_SEARCH])
            secure(host, path)
        finally:
            os._exit(1)
    until(host.being_copied)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    vault = vault_of(host)
    assert vault.outcome(CASE, 0)["state"] == "intent", "killed too late to show anything"
    until(lambda: vault.outcome(CASE, 0)["state"] == "done")
    assert whole_in_vault(host, digest) and not path.exists()


def test_sigterm_lets_the_file_in_hand_be_finished(host: SecurerHost) -> None:
    host.start()
    path = large(host)
    thread, said = in_thread(lambda: as_user(DAEMON, lambda: secure(host, path)))
    until(host.being_copied)
    assert host.stop() == 0
    thread.join(60)
    assert said[0]["answer"]["outcome"] == "secured"
    assert (host.staged(), len(host.items()), host.socket.exists()) == ([], 1, False)


def test_one_securer_a_vault_and_a_socket_that_a_dead_one_left_is_replaced(host: SecurerHost) -> None:
    host.start()
    first = host.process
    second = subprocess.run(
        [sys.executable, "-m", "scanner", "-c", str(host.config), "securer"], capture_output=True, check=False
    )
    assert (second.returncode, b"another securer is running" in second.stderr) == (2, True)
    assert first is not None and first.poll() is None
    host.kill()
    assert host.socket.exists()
    until(lambda: not _listens(host.socket))
    host.process = subprocess.Popen([sys.executable, "-m", "scanner", "-c", str(host.config), "securer"])
    until(lambda: _listens(host.socket))


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
        try:
            sock.connect(str(path))
        except OSError:
            return False
    return True


def test_a_socket_of_the_service_manager_is_served_and_left_when_nobody_speaks(host: SecurerHost) -> None:
    """The same socket is handed over twice, as a service manager does; in between the securer ends."""
    host.socket.parent.mkdir()
    path = host.save("a/b.jpg")
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(host.socket))
        listener.listen()
        os.chown(host.socket, DAEMON, -1)
        said = None
        for _ in range(2):
            process = activated(host, listener)
            if said is None:
                said = as_user(DAEMON, lambda: secure(host, path))["answer"]
            assert process.wait(60) == 0
    assert said is not None and said["outcome"] == "secured"
    assert host.socket.exists()  # it is not ours to remove


def activated(host: SecurerHost, listener: socket.socket) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "scanner", "-c", str(host.config), "securer", "--idle-timeout", "1s"]
    hand_over = (
        "import os, sys; os.dup2(int(sys.argv[1]), 3);"
        " os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid())); os.execv(sys.argv[2], sys.argv[2:])"
    )
    fd = listener.fileno()
    return subprocess.Popen([sys.executable, "-c", hand_over, str(fd), *command], pass_fds=[fd])


@pytest.mark.parametrize(
    ("vault", "why"),
    [("{base}/open/vault", "others than root may write it"), ("{base}/link/vault", "is a link")],
    ids=["writable", "link"],
)
def test_a_vault_that_others_could_replace_is_refused(host: SecurerHost, vault: str, why: str) -> None:
    (host.base / "open").mkdir()
    (host.base / "open").chmod(0o777)
    (host.base / "link").symlink_to(host.base / "open")
    text = host.config.read_text().replace(str(host.vault), vault.format(base=host.base))
    host.config.write_text(text)
    said = subprocess.run(
        [sys.executable, "-m", "scanner", "-c", str(host.config), "securer"], capture_output=True, check=False
    )
    assert (said.returncode, why in said.stderr.decode()) == (2, True)


_EAGER = """
import sys
from pathlib import Path
import scanner.app.securer as app
import scanner.securer.service as service
service._LOOK_SECONDS, terms = 0.005, app.Terms
app.Terms = lambda user, idle: terms(user, idle, again=0.005)
app.run(Path(sys.argv[1]), idle=None)
"""


def start_eager(host: SecurerHost) -> None:
    """A securer that looks at open steps all the time."""
    host.process = subprocess.Popen(
        [sys.executable, "-c", _EAGER, str(host.config)],
        stderr=(host.base / "securer.log").open("ab"),
        stdout=(host.base / "securer.log").open("ab"),
    )
    until(lambda: host.socket.exists() or host.process.poll() is not None)
    assert host.process.poll() is None, host.log


def test_a_securer_tries_again_what_it_had_to_leave_and_nothing_that_it_works_on(host: SecurerHost) -> None:
    start_eager(host)
    path = large(host)
    assert as_user(DAEMON, lambda: secure(host, path))["answer"]["outcome"] == "secured"
    assert "recovered" not in host.log, "the step it worked on was taken for one that was left"

    path = large(host)
    path.chmod(0o640)
    os.setxattr(path, "user.note", b"kept")
    inode, mtime_ns = path.stat().st_ino, 1_600_000_000_000_000_000
    with open(path, "r+b", buffering=0) as writer:
        thread, said = in_thread(lambda: as_user(DAEMON, lambda: secure(host, path)))
        until(lambda: not path.exists())
        path.write_bytes(b"newcomer")
        writer.write(b"other bytes")
        os.utime(writer.fileno(), ns=(mtime_ns, mtime_ns))
        thread.join(60)
    assert "kept in staging" in said[0]["answer"]["text"]
    assert (path.read_bytes(), len(host.staged())) == (b"newcomer", 1)
    assert vault_of(host).outcome(CASE, 0)["state"] == "intent"
    path.unlink()
    until(lambda: vault_of(host).outcome(CASE, 0)["state"] == "undone")
    st = path.stat()
    assert (st.st_ino, st.st_mode & 0o777, st.st_uid, st.st_mtime_ns) == (inode, 0o640, CUSTOMER, mtime_ns)
    assert (os.getxattr(path, "user.note"), host.staged(), len(host.items())) == (b"kept", [], 1)
    until(lambda: "recovered" in host.log)


def test_what_a_securer_ended_later_reaches_the_ledger_of_whoever_asked(host: SecurerHost) -> None:
    host.start()
    path = host.save("closed/a.jpg")
    digests = digests_of(open_regular(os.open(path.parent, DIRECTORY_FLAGS), b"a.jpg")[0])
    assert secure(host, path)["outcome"] == "secured"
    in_hand, vault = InHand(), vault_of(host)
    with Ledger.open(host.state / "ledger.sqlite", actor="test", clock=SystemClock()) as ledger:
        case = _kept_case(host, digests)
        ledger.open_case(case)
        with in_hand.hold(CASE):
            retry_steps(ledger, vault, Reporters([]), SystemClock(), in_hand, "web")
        retry_steps(ledger, vault, Reporters([]), SystemClock(), in_hand, "another")
        assert ledger.get(CASE).action is Action.FAILED
        retry_steps(ledger, vault, Reporters([]), SystemClock(), in_hand, "web")
        found = ledger.get(CASE)
    assert (found.action, found.quarantine_id) == (Action.QUARANTINED, vault.items()[0].id)


def test_a_secured_file_that_a_securer_put_back_later_is_told_as_unsecured(host: SecurerHost) -> None:
    """Its original could not be removed from staging, and was written to since: here it goes back at once."""
    host.start()
    path = large(host)
    digests = digests_of(open_regular(os.open(path.parent, DIRECTORY_FLAGS), b"a.bin")[0])
    with open(path, "r+b", buffering=0) as writer:
        thread, said = in_thread(lambda: secure(host, path))
        until(host.being_copied)
        writer.write(b"other bytes")
        thread.join(60)
    assert said[0]["outcome"] == "changed"
    vault, in_hand = vault_of(host), InHand()
    item_id = vault.outcome(CASE, 0)["quarantine_id"]
    case = replace(
        _kept_case(host, digests), action=Action.QUARANTINED, reason=f"list: the original {LEFT_IN_STAGING}"
    )
    with Ledger.open(host.state / "ledger.sqlite", actor="test", clock=SystemClock()) as ledger:
        ledger.open_case(case)
        for quarantine_id, action in (("0" * 32, Action.QUARANTINED), (item_id, Action.FAILED)):
            ledger.set_action(CASE, Action.QUARANTINED, case.reason, quarantine_id, 2)
            retry_steps(ledger, vault, Reporters([]), SystemClock(), in_hand, "web")
            assert ledger.get(CASE).action is action
        retry_steps(ledger, vault, Reporters([]), SystemClock(), in_hand, "web")
        assert ledger.get(CASE).reason == "undone when it was tried again"


def _kept_case(host: SecurerHost, digests: Digests) -> Case:
    """A case as it is told when the securer could neither keep the file nor discard what it had of it."""
    return Case(
        id=CASE, opened_ns=1, updated_ns=1, volume="web", root=os.fsencode(host.volume), path=b"closed/a.jpg",
        shown_as=str(host.volume), customer="", size=digests.size, mtime_ns=1, digests=digests,
        match=Match(kind="sha256", feed="list", entry="1", category="1"), others=(), action=Action.FAILED,
        reason=f"io: no space; it is {KEPT_IN_STAGING} abc", state=CaseState.OPEN,
    )  # fmt: skip
