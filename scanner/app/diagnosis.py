"""`doctor`: what of this machine helps or hinders, and a proof that detection works from end to end."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import struct
import tempfile
import threading
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from scanner.app import cases
from scanner.app.app import App
from scanner.app.pools import missing_layers, worker_pool
from scanner.app.reporters import MetricsReporter
from scanner.app.state import StateDirectory
from scanner.app.unhashed import warnings
from scanner.catalog import native_packer
from scanner.config import Config
from scanner.index import native_search
from scanner.model.errors import ScannerError
from scanner.sources import native_reader
from scanner.system import power
from scanner.system.opening import hard_links_protected, have_openat2


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `ok` None means: works, but worth knowing."""

    name: str
    ok: bool | None
    text: str


def diagnose(app: App) -> list[Finding]:
    """Look at privileges, kernel, feeds, space and permissions, and run the canary; blocking."""
    looks: list[tuple[str, Callable[[App], Finding]]] = [
        ("privileges", _privileges),
        ("kernel: openat2", _openat2),
        ("kernel: protected_hardlinks", _hard_links),
        ("walk", _listing),
        ("catalog", _packing),
        ("lists", _searching),
        ("state directory", _state),
        ("vault", _vault),
        ("volumes", _volumes),
        ("feeds", _feeds),
        ("workers", _workers),
        ("detection", _canary),
    ]
    return [_look(app, name, look) for name, look in looks]


def _look(app: App, name: str, look: Callable[[App], Finding]) -> Finding:
    try:
        return look(app)
    except (ScannerError, OSError) as e:
        return Finding(name, False, str(e))


def _privileges(app: App) -> Finding:
    if os.geteuid() == 0:
        return Finding("privileges", True, "root: reads every file; hashing runs as another user")
    if power.has_capability(power.CAP_DAC_READ_SEARCH):
        return Finding("privileges", True, f"user {os.geteuid()}: reads every file, writes none of others")
    return Finding(
        "privileges", None, "an ordinary user: files that others closed to you are counted as failed"
    )


def _openat2(app: App) -> Finding:
    if have_openat2():
        return Finding("kernel: openat2", True, "files are opened beneath their volume in one call")
    return Finding("kernel: openat2", None, "missing (Linux 5.6): paths are opened step by step instead")


def _listing(app: App) -> Finding:
    if native_reader() is not None:
        return Finding("walk", True, "directories are listed by the extension")
    return Finding(
        "walk", None, "the extension was not built: directories are listed by Python, which takes longer"
    )


def _packing(app: App) -> Finding:
    if native_packer() is not None:
        return Finding("catalog", True, "files are written to it by the extension")
    return Finding(
        "catalog", None, "the extension was not built: Python packs what is written to it, which takes longer"
    )


def _searching(app: App) -> Finding:
    if native_search() is not None:
        return Finding("lists", True, "perceptual ones are searched by the extension")
    return Finding(
        "lists",
        None,
        "the extension was not built: perceptual ones are searched by NumPy, which takes longer",
    )


def _hard_links(app: App) -> Finding:
    if hard_links_protected():
        return Finding("kernel: protected_hardlinks", True, "customers can't link files of others")
    text = "off: customers can link files of others; set fs.protected_hardlinks=1"
    return Finding("kernel: protected_hardlinks", None, text)


def _state(app: App) -> Finding:
    app.state.prepare()
    free = shutil.disk_usage(app.state.path).free
    return Finding("state directory", True, f"{app.state.path}, {free >> 20:,} MiB free")


def _vault(app: App) -> Finding:
    app.vault.prepare()
    return Finding("vault", True, f"{app.vault.where}, {app.vault.free_bytes() >> 20:,} MiB free")


def _volumes(app: App) -> Finding:
    missing = [v.name for v in app.volumes if not _can_list(v.root)]
    if missing:
        return Finding("volumes", False, f"not there, or not readable: {', '.join(missing)}")
    return Finding("volumes", True if app.volumes else None, f"{len(app.volumes)} configured, all readable")


def _can_list(root: bytes) -> bool:
    """By trying: access(2) asks for the user's rights and forgets CAP_DAC_READ_SEARCH."""
    try:
        with os.scandir(root) as entries:
            next(entries, None)
    except OSError:
        return False
    return True


def _feeds(app: App) -> Finding:
    without = [n for n in app.feed_names if app.keeper.current(n) is None]
    if without:
        return Finding("feeds", False, f"no list yet: {', '.join(without)}; run `hostsweep feed sync`")
    unusable = app.keeper.open().unusable
    if unusable:
        return Finding("feeds", False, "; ".join(f"{name}: {why}" for name, why in unusable.items()))
    if unhashed := tuple(warnings(app.config, app.keeper)):
        return Finding("feeds", None, "; ".join(unhashed))
    return Finding("feeds", True if app.feed_names else None, f"{len(app.feed_names)} configured, all loaded")


def _workers(app: App) -> Finding:
    pool = worker_pool(app.config, workers=1)
    try:
        pool.start()
        text = f"start; confined by {', '.join(sorted(pool.layers))}"
        missing = missing_layers(pool.layers)
        if missing:
            text += f"; missing here: {', '.join(missing)}"
        return Finding("workers", None if missing else True, text)
    finally:
        pool.stop()


def canary_picture() -> bytes:
    """A harmless PNG of 64x64 random grey pixels: no list has ever seen it, and none can."""
    rows = b"".join(b"\0" + os.urandom(64) for _ in range(64))

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 64, 64, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def _canary(app: App) -> Finding:
    """A picture made now, a list that has it, a scan that must find and secure it, and give it back."""
    with tempfile.TemporaryDirectory(prefix="hostsweep-canary-") as text:
        base = Path(text)
        place = base / "volume" / "canary.png"
        place.parent.mkdir()
        picture = canary_picture()
        place.write_bytes(picture)
        (base / "canary.txt").write_text(f"{hashlib.sha256(picture).hexdigest()}  canary.png\n")
        config = Config(hashing=app.config.hashing)
        small = App(config, StateDirectory(base / "state", base / "state" / "quarantine"))
        reporter = MetricsReporter(small.metrics, small.clock)
        outcome = asyncio.run(
            small.scan_paths(
                [place.parent],
                [str(base / "canary.txt")],
                reporter,
                threading.Event(),
                quarantine=True,
                full=True,
            )
        )
        if outcome.counts.secured != 1 or place.exists():
            return Finding("detection", False, "a canary that is on a list was not found and secured")
        cases.restore(small, small.vault.items()[0].id, None)
        if place.read_bytes() != picture:
            return Finding("detection", False, "the canary did not come back as it was")
        return Finding("detection", True, "a canary was found, secured and restored")
