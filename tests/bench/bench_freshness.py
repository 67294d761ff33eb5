"""From a publisher's change to a case: `python tests/bench/bench_freshness.py [files] [entries]`.

A list of some entries is published as a tree on this machine and followed; files are known from their digests
in the catalog, one of them really there. Then the list gets a thousand entries more, among them that file's
digest; the time runs from the follower's poll until the case is in the ledger. All processes are real ones.
"""

from __future__ import annotations

import asyncio
import hashlib
import http.server
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from bench_catalog import records
from PIL import Image

from scanner.app import App
from scanner.app.service import Service
from scanner.app.state import StateDirectory
from scanner.app.tools import profile
from scanner.catalog import Catalog
from scanner.config import Config

CHANGE = 1000  # entries that come
_COMMIT = 1000  # directories


class _Counting(http.server.SimpleHTTPRequestHandler):
    sent = 0

    def copyfile(self, source: object, outputfile: object) -> None:
        type(self).sent += os.fstat(source.fileno()).st_size  # type: ignore[attr-defined]
        super().copyfile(source, outputfile)  # type: ignore[arg-type]

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def served(tree: Path) -> Iterator[str]:
    """The address of a directory; `_Counting.sent` has the bytes of all files that were taken."""
    handler = partial(_Counting, directory=str(tree))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def digests(count: int, seed: int) -> Iterator[str]:
    """Made-up SHA-1 digests."""
    source = random.Random(seed)
    for _ in range(count):
        yield source.randbytes(20).hex()


def publish(work: Path, entries: int, more: list[str]) -> float:
    """Publish a list of `entries` and `more`; returns the seconds it took."""
    source = work / "police.txt"
    with source.open("w") as file:
        file.writelines(f"{digest}\n" for digest in digests(entries, 1))
        file.writelines(f"{digest}\n" for digest in more)
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "scanner", "--state-dir", str(work / "publisher"), "feed", "publish"]
        + ["--from", str(source), "--to", str(work / "web")],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return time.perf_counter() - start


async def measure(work: Path, files: int, entries: int) -> None:
    volume = work / "www"
    volume.mkdir()
    Image.effect_noise((320, 240), 60).save(volume / "one.png")
    victim = hashlib.sha1((volume / "one.png").read_bytes()).hexdigest()
    took = publish(work, entries, [])
    print(f"published {entries:,} entries in {took:.1f} s")
    with served(work / "web") as url:
        config = Config.model_validate(
            {
                "volumes": ({"name": "web", "path": str(volume)},),
                "feeds": ({"name": "police", "url": url, "exchange": "tree"},),
            }
        )
        app = App(config, StateDirectory(work / "state", work / "state/quarantine"))
        app.state.prepare()
        start = time.perf_counter()
        await app.sync_feed("police")
        print(f"followed from the snapshot in {time.perf_counter() - start:.1f} s, {_Counting.sent:,} bytes")
        service = Service(app)
        await service.prepare()
        stop = threading.Event()
        await service.scan_volume("web", stop)
        catalogue(app, volume, files, service.index_id)
        took = publish(work, entries, [victim, *digests(CHANGE - 1, 2)])
        print(f"published {CHANGE:,} more in {took:.1f} s")
        _Counting.sent = 0
        start = time.perf_counter()
        await app.sync_feed("police")
        synced = time.perf_counter()
        news = await service.swap_index()
        swapped = time.perf_counter()
        await service.act_on_known("web", news, stop)
        done = time.perf_counter()
        with app.ledger(read_only=True) as ledger:
            cases = sum(ledger.counts().values())
        print(
            f"a change of {CHANGE:,} on {entries:,}, {files:,} files known: synced {synced - start:.2f} s, "
            f"opened and compared {swapped - synced:.2f} s, matched {done - swapped:.2f} s, "
            f"to the case {done - start:.2f} s; {_Counting.sent:,} bytes on the wire; {cases} case"
        )
        if cases != 1:
            raise SystemExit("the file was not found")


def catalogue(app: App, volume: Path, files: int, index: str) -> None:
    """Make files known that are not there; nobody looks for them unless they match."""
    catalog = Catalog.open(app.state.catalog)
    rows = catalog.volume("web", os.fsencode(volume), profile(app.config), volume.stat().st_dev)
    for number, record in enumerate(records(files), 1):
        rows.record(record)
        if number % _COMMIT == 0:
            rows.commit()
    rows.commit()
    rows.begin_matching(index)
    rows.end_matching(index)
    catalog.close()


def main() -> None:
    files = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    entries = int(sys.argv[2]) if len(sys.argv) > 2 else 1_000_000
    with tempfile.TemporaryDirectory() as place:
        asyncio.run(measure(Path(place), files, entries))


if __name__ == "__main__":
    main()
