"""The processes that fetch and read lists, taken over: code of an enemy runs in real ones, by a plug-in
format."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import os
import shutil
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from aiohttp import web

from scanner.app import App, importing
from scanner.app.importing import opened_list
from scanner.app.state import StateDirectory
from scanner.config import Config
from scanner.feeds import FetchRequest, FormatOptions
from scanner.index import SnapshotBuilder
from scanner.model.errors import FeedError, FeedProcessError, FeedRefusedError, FeedTransportError
from scanner.model.feeds import Entry
from scanner.model.ports import SystemIds
from scanner.pipeline.feed_processes import FeedLimits, FeedProcesses, ImportOrder
from scanner.system import landlock

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

needs_openssl = pytest.mark.skipif(
    shutil.which("openssl") is None, reason="needs openssl to make a certificate"
)
pytestmark = pytest.mark.skipif(not landlock.abi(), reason="this kernel has no Landlock")

NOBODY = (65534, 65534)
USERS = [None, pytest.param(NOBODY, marks=pytest.mark.root)]
GOOD = hashlib.sha256(b"listed").hexdigest() + "  name\n"

# What runs in the process: a list that begins with "evil" is an order to it.
EVIL = """
import ctypes, json, os, socket, sys
from pathlib import Path
from scanner.model.errors import FeedRefusedError

libc = ctypes.CDLL(None, use_errno=True)

def call(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), "refused")

def fork():
    if os.fork() == 0:
        os._exit(0)

def attempts(target):
    base = Path(target["base"])
    def connect(family, kind, address):
        with socket.socket(family, kind) as s:
            s.connect(address)
            s.send(b"x")
    yield "own folder", lambda: Path("mine").write_text("x")
    for name in ("volume/file", "vault/item", "ledger.sqlite", "feeds/other/snapshot"):
        yield f"read {name}", (base / name).read_bytes
    yield "list volume", lambda: os.listdir(base / "volume")
    yield "read passwd", Path("/etc/passwd").read_bytes
    yield "read by descriptor of the folder above", lambda: os.open("../../ledger.sqlite", os.O_RDONLY)
    yield "write volume", (base / "volume/new").touch
    yield "write above", lambda: Path("../x").touch()
    yield "truncate", lambda: os.truncate(base / "volume/file", 0)
    yield "unlink", (base / "volume/file").unlink
    yield "chmod", lambda: (base / "volume/file").chmod(0o777)
    yield "times", lambda: os.utime(base / "volume/file")
    yield "link into folder", lambda: os.link(base / "volume/file", "linked")
    yield "tcp", lambda: connect(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", target["port"]))
    yield "udp", lambda: connect(socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", target["port"]))
    yield "unix", lambda: connect(socket.AF_UNIX, socket.SOCK_STREAM, str(base / "socket"))
    yield "listen", lambda: socket.create_server(("127.0.0.1", 0))
    yield "fork", fork
    yield "exec", lambda: os.execv("/bin/true", ["true"])
    yield "signal the parent", lambda: os.kill(os.getppid(), 0)
    yield "trace the parent", lambda: call(libc.ptrace(16, os.getppid(), 0, 0))
    yield "namespace", lambda: call(libc.unshare(0x10000000))
    yield "large file", lambda: os.ftruncate(os.open("big", os.O_RDWR | os.O_CREAT), 1 << 40)

def tried(target):
    done = []
    for name, attempt in attempts(target):
        try:
            attempt()
        except Exception:
            continue
        done.append(name)
    raise FeedRefusedError(json.dumps(done))

def act(order):
    what = order["do"]
    if what == "try":
        tried(order)
    if what == "die":
        os.abort()
    if what == "hang":
        while True:
            pass
    if what == "flood":
        while True:
            os.write(1, b"[" * 65536)
    if what == "eat":
        bytearray(1 << 40)
    if what == "answer":
        if "symlink" in order:
            os.symlink(order["symlink"], "index")
        if "fifo" in order:
            os.mkfifo("index")
        if "index" in order:
            Path("index").write_bytes(bytes.fromhex(order["index"]))
        os.write(1, order["raw"].encode())
        os._exit(order.get("status", 0))

class Format:
    name = "evil"
    default_categories = None
    def proposes(self, head):
        return "it says so" if head.startswith(b"evil") else None
    def parse(self, stream, options, counts):
        act(json.loads(stream.read()[4:]))
        yield
"""
BOOT = """
import runpy, sys
sys.path.insert(0, {base!r})
sys.argv = sys.argv[2:]
{before}
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""
EVIL_FETCH = """
import evil, json, scanner.feeds
async def fetch(request, session, staging, *, opened):
    evil.act(json.loads(request.etag))
scanner.feeds.fetch = fetch
"""


class Ground:
    """A state directory, a volume and a server, all open to everybody: only the confinement protects them."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.work = base / "work"
        self.work.mkdir(mode=0o700)
        for name in ("volume/file", "vault/item", "ledger.sqlite", "feeds/other/snapshot"):
            (base / name).parent.mkdir(parents=True, exist_ok=True)
            (base / name).write_text("untouched")
            (base / name).chmod(0o666)
        (base / "volume").chmod(0o777)
        self.server = socket.create_server(("127.0.0.1", 0))
        self.unix = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.unix.bind(str(base / "socket"))
        self.unix.listen()
        (base / "socket").chmod(0o777)
        plugin = base / "plugin"
        (plugin / "evil-1.dist-info").mkdir(parents=True)
        (plugin / "evil.py").write_text(EVIL)
        (plugin / "evil-1.dist-info/METADATA").write_text("Name: evil\nVersion: 1\n")
        (plugin / "evil-1.dist-info/entry_points.txt").write_text(
            "[hostsweep.feed_formats]\nevil = evil:Format\n"
        )
        (plugin / "boot.py").write_text(BOOT.format(base=str(plugin), before=""))
        (plugin / "boot_fetch.py").write_text(BOOT.format(base=str(plugin), before=EVIL_FETCH))

    def close(self) -> None:
        self.server.close()
        self.unix.close()
        shutil.rmtree(self.base)

    def processes(self, user: tuple[int, int] | None = None, boot: str = "boot.py", seconds: float = 60.0):
        python = (sys.executable, "-I", str(self.base / "plugin" / boot))
        return FeedProcesses(FeedLimits(user, 1 << 30, seconds), SystemIds(), python=python)

    def order(self, **order: object) -> Path:
        path = self.base / "order"
        path.write_text("evil" + json.dumps(order))
        return path

    def everything(self) -> dict[str, object]:
        return {"do": "try", "base": str(self.base), "port": self.server.getsockname()[1]}

    async def build(self, processes: FeedProcesses, source: Path) -> Path:
        target = self.work / "target"
        order = ImportOrder("f", "feed f", "auto", FormatOptions(), 1, 1 << 20, key="5" * 64)
        with opened_list(source) as descriptor:
            await processes.build(order, descriptor, self.work, target)
        return target

    def check_untouched(self) -> None:
        assert (self.base / "volume/file").read_text() == "untouched"
        assert sorted(p.name for p in (self.base / "volume").iterdir()) == ["file"]
        assert list(self.work.iterdir()) == []


@pytest.fixture
def ground() -> Iterator[Ground]:
    # Not below pytest's own folder, which is closed to other users: that would refuse what is to be refused
    # here.
    base = Path(tempfile.mkdtemp(prefix="hostsweep-confined-"))
    base.chmod(0o755)
    made = Ground(base)
    yield made
    made.close()


@pytest.mark.parametrize("user", USERS)
async def test_an_importer_that_was_taken_over_reaches_nothing_but_its_folder(ground: Ground, user) -> None:
    with pytest.raises(FeedRefusedError) as refused:
        await ground.build(ground.processes(user), ground.order(**ground.everything()))
    assert json.loads(refused.value.what) == ["own folder"]
    ground.check_untouched()


def _archive() -> bytes:
    """Larger than what is unpacked in memory."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("list.txt", GOOD)
        archive.writestr("padding.bin", bytes(17 << 20))
    return file.getvalue()


@pytest.mark.parametrize("user", USERS)
async def test_archives_and_large_json_are_read_with_what_is_within_reach(ground: Ground, user) -> None:
    """Codecs and parsers are loaded before; an archive is unpacked in the process's own folder."""
    records = ",".join(f'{{"MediaID":{n},"MD5":"{n + 1:032x}","Category":1}}' for n in range(40_000))
    contents = (_archive(), zstd.compress(GOOD.encode()), f'{{"value":[{records}]}}'.encode())
    for number, content in enumerate(contents):
        source, target = ground.base / f"list-{number}", ground.work / f"target-{number}"
        source.write_bytes(content)
        order = ImportOrder("f", "feed f", "auto", FormatOptions(), 1, 1 << 26, key="5" * 64)
        with opened_list(source) as descriptor:
            answer = await ground.processes(user).build(order, descriptor, ground.work, target)
        assert answer.counts.entries == (40_000 if number == 2 else 1)
        target.unlink()
    ground.check_untouched()


@pytest.mark.parametrize("user", USERS)
async def test_a_fetcher_that_was_taken_over_connects_and_reaches_nothing_else(ground: Ground, user) -> None:
    request = FetchRequest("f", "https://localhost/list", etag=json.dumps(ground.everything()))
    with pytest.raises(FeedRefusedError) as refused:
        await ground.processes(user, "boot_fetch.py").fetch(request, ground.work, ground.work / "target")
    # A socket of datagrams and UNIX sockets are what names are looked up with.
    assert json.loads(refused.value.what) == ["own folder", "tcp", "udp", "unix"]
    ground.check_untouched()


async def test_the_same_code_without_confinement_reaches_it_all(ground: Ground) -> None:
    """The attempts are real ones: each that is refused above succeeds in a process that is not confined."""
    code = f"import sys; sys.path.insert(0, {str(ground.base / 'plugin')!r}); import evil, json\n"
    code += "target = json.loads(sys.argv[1])\n"
    code += "for name, attempt in evil.attempts(target):\n"
    code += "    if name in ('exec', 'unlink', 'trace the parent'): continue\n"
    code += "    try: attempt(); print(name)\n    except Exception: pass\n"
    (ground.work / "x").mkdir()
    (ground.work / "x/in").mkdir()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, json.dumps(ground.everything()),
        stdout=asyncio.subprocess.PIPE, cwd=ground.work / "x/in",
    )  # fmt: skip
    out, _ = await process.communicate()
    done = set(out.decode().splitlines())
    assert {"read volume/file", "read vault/item", "read ledger.sqlite", "read passwd", "list volume"} <= done
    assert {"write volume", "write above", "truncate", "chmod", "times", "tcp", "udp", "unix", "fork"} <= done
    assert {"listen", "signal the parent", "link into folder"} <= done


COUNTS = {
    "entries": 1, "removals": 0, "malformed": 0, "first_malformed": "", "hashes": {"sha256": 1},
    "refused": {}, "unsupported": {}, "categories": {"": 1},
}  # fmt: skip
LIST = {
    "entries": 1, "hashes": {"sha256": 1}, "categories": {"": 1},
    "added": 1, "replaced": 0, "removed": 0, "unknown": 0, "outdated": 0,
}  # fmt: skip
OK = {"format": "evil", "sha256": "0" * 64, "counts": COUNTS, "list": LIST}


@pytest.mark.parametrize(
    "order",
    [
        {"do": "die"},
        {"do": "flood"},
        {"do": "answer", "raw": json.dumps({"ok": OK}), "status": 3},
        {"do": "answer", "raw": json.dumps({"ok": OK})},  # without an index
        {"do": "answer", "raw": json.dumps({"ok": OK}), "symlink": "/etc/passwd"},
        {"do": "answer", "raw": json.dumps({"ok": OK}), "fifo": True},
        {"do": "answer", "raw": json.dumps({"error": {"kind": "FeedError"}})},
    ],
    ids=lambda order: "-".join(str(v)[:40] for v in order.values()),
)  # fmt: skip
async def test_an_importer_that_dies_floods_or_answers_nonsense_is_an_error_of_that_feed(
    ground: Ground, order: dict[str, object]
) -> None:
    with pytest.raises(FeedProcessError) as error:
        await ground.build(ground.processes(), ground.order(**order))
    assert error.value.where == "feed f"
    ground.check_untouched()


async def test_an_importer_that_hangs_is_ended(ground: Ground) -> None:
    with pytest.raises(FeedProcessError, match="longer than 2 s"):
        await ground.build(ground.processes(seconds=2.0), ground.order(do="hang"))
    ground.check_untouched()


async def test_an_importer_that_wants_too_much_memory_is_an_error_of_that_feed(ground: Ground) -> None:
    with pytest.raises(FeedError):
        await ground.build(ground.processes(), ground.order(do="eat"))


async def test_a_process_can_neither_blame_our_storage_nor_reach_the_terminal(ground: Ground) -> None:
    told = {"kind": "StorageError", "what": "\x1b[2J" + "x" * 5000, "where": "a\nb", "remedy": ""}
    with pytest.raises(FeedProcessError) as error:
        await ground.build(ground.processes(), ground.order(do="answer", raw=json.dumps({"error": told})))
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 1100


def entries_section(data: bytearray) -> int:
    """Where the first section of entries' numbers begins."""
    (count,) = struct.unpack_from("<Q", data, 64)
    for i in range(count):
        name, offset = struct.unpack_from("<16x16sQ", data, 72 + 48 * i)
        if name.rstrip(b"\0") == b"entries":
            return int(offset)
    raise AssertionError("no such section")


async def test_the_last_good_list_stays_whatever_an_importer_leaves_as_its_index(
    ground: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through the app: a good list, then a process that swears to have read another and leaves a forgery."""
    source = ground.base / "list"
    source.write_text(GOOD)
    config = Config.model_validate({"feeds": ({"name": "f", "url": f"file://{source}"},)})
    app = App(config, StateDirectory(tmp_path / "state", tmp_path / "vault"))
    app.state.prepare()
    await app.sync_feed("f")
    good = app.keeper.store.current("f")
    assert good is not None
    forged = bytearray(good.read_bytes())
    forged[-1] ^= 1
    other = good.read_bytes().replace(b'"feed":"f"', b'"feed":"g"')  # another feed's, but for the checksum
    checksum = hashlib.sha256(other[64:]).digest()
    python = (sys.executable, "-I", str(ground.base / "plugin/boot.py"))
    monkeypatch.setattr(importing, "FeedProcesses", partial(FeedProcesses, python=python))
    if os.geteuid() == 0:
        config = config.model_copy(update={"sync": config.sync.model_copy(update={"user": 65534})})
    plain = tmp_path / "plain"  # whole and the right feed's, but its digests are no secret
    builder = SnapshotBuilder()
    builder.add(Entry((("sha256", b"x" * 32),)))
    builder.finish(plain, meta={"feed": "f", "format": "evil", "built_ns": 1})
    astray = bytearray(good.read_bytes())  # with the right checksum, and a number that leads nowhere
    at = entries_section(astray)
    astray[at : at + 4] = b"\xff" * 4
    astray[32:64] = hashlib.sha256(astray[64:]).digest()
    for index in (bytes(forged), other, checksum, plain.read_bytes(), bytes(astray)):
        told = {"do": "answer", "raw": json.dumps({"ok": OK}), "index": index.hex()}
        source.write_text("evil" + json.dumps(told))
        with pytest.raises(FeedProcessError, match="index"):
            await app.sync_feed("f")
        assert app.keeper.store.current("f") == good
        assert app.keeper.open().index.match is not None
    assert app.keeper.store.state("f").results == {"updated": 1, "failed": 5}
    assert list(app.state.work.iterdir()) == []


@needs_openssl
@pytest.mark.parametrize("user", USERS)
async def test_a_confined_fetcher_resolves_names_and_checks_certificates(
    ground: Ground, user, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, certificate = ground.base / "key.pem", ground.base / "certificate.pem"
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
         "-keyout", str(key), "-out", str(certificate)], capture_output=True,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    certificate.chmod(0o644)
    secret = ground.base / "token"
    secret.write_text("hidden\n")
    secret.chmod(0o600)
    asked = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.headers["Authorization"])
        return web.Response(text=GOOD, headers={"ETag": '"1"'})

    served = web.Application()
    served.router.add_get("/list", answer)
    runner = web.AppRunner(served)
    await runner.setup()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    await web.TCPSite(runner, "localhost", 0, ssl_context=context).start()
    request = FetchRequest("f", f"https://localhost:{runner.addresses[0][1]}/list", bearer_file=secret)
    processes = FeedProcesses(FeedLimits(user, 1 << 30, 60.0), SystemIds())
    try:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        fetched = await processes.fetch(request, ground.work, ground.work / "target")
        assert (ground.work / "target").read_text() == GOOD
        assert (fetched.etag, fetched.sha256) == ('"1"', hashlib.sha256(GOOD.encode()).hexdigest())
        assert asked == ["Bearer hidden"]
        monkeypatch.delenv("SSL_CERT_FILE")
        with pytest.raises(FeedTransportError, match="certificate"):
            await processes.fetch(request, ground.work, ground.work / "other")
    finally:
        await runner.cleanup()
