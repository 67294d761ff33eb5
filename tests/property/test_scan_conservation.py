"""Every file met ends in exactly one outcome, and the sum is what find(1) counts: over generated trees,
with files that vanish under the scan."""

from __future__ import annotations

import asyncio
import io
import os
import shutil
import subprocess
import tempfile
import threading
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from scanner.app import App
from scanner.app.state import StateDirectory
from scanner.config import Config
from scanner.model.matches import Case
from scanner.model.outcomes import ScanCounts


def _jpeg(n: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (16, 16), (n % 256, 80, 160)).save(out, "JPEG")
    return out.getvalue()


CONTENTS = {
    "picture": _jpeg(1),
    "other picture": _jpeg(90),
    "broken": _jpeg(1)[:150],
    "text": b"hello",
    "empty": b"",
}
# No "/" and no NUL; everything else may stand in a name.
names = (
    st.binary(min_size=1, max_size=12)
    .map(lambda b: b.replace(b"/", b"_").replace(b"\0", b"-"))
    .filter(lambda b: b not in (b".", b".."))
)
places = st.lists(names, max_size=3).map(tuple)
trees = st.dictionaries(
    st.tuples(places, names),
    st.sampled_from([*CONTENTS, "link", "fifo", "hard link"]),
    max_size=14,
)


class _Vanishing:
    """A reporter that removes files while the scan runs."""

    def __init__(self, victims: list[bytes]) -> None:
        self._victims = victims

    def hit(self, case: Case, path: bytes) -> None: ...

    def error(self, volume: str, path: bytes, kind: str) -> None: ...

    def skipped(self, volume: str, path: bytes, reason: str, files: int) -> None: ...

    def note(self, event: str, **fields: object) -> None: ...

    def progress(self, volume: str, counts: ScanCounts, queued: int, hashing: int) -> None:
        while self._victims:
            try:
                os.unlink(self._victims.pop())
            except OSError:
                pass


def _build(root: Path, tree: dict[tuple[tuple[bytes, ...], bytes], str]) -> list[bytes]:
    made: list[bytes] = []
    for (place, name), what in tree.items():
        directory = os.path.join(os.fsencode(root), *place)
        try:
            os.makedirs(directory, exist_ok=True)
            path = os.path.join(directory, name)
            if what == "link":
                os.symlink(b"somewhere", path)
            elif what == "fifo":
                os.mkfifo(path)
            elif what == "hard link" and made:
                os.link(made[0], path)
            else:
                with open(path, "xb") as f:
                    f.write(CONTENTS.get(what, b"x"))
                made.append(path)
        except OSError:
            continue  # a file stands where a directory was wanted, or the reverse
    return made


def _find(root: Path) -> int:
    done = subprocess.run(["find", str(root), "-type", "f", "-printf", "x"], capture_output=True, check=True)
    return len(done.stdout)


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(trees, st.sets(st.integers(0, 13), max_size=4), st.booleans())
def test_every_file_has_one_outcome_and_the_sum_is_what_find_counts(
    tree: dict[tuple[tuple[bytes, ...], bytes], str], vanish: set[int], twice: bool
) -> None:
    base = Path(tempfile.mkdtemp(prefix="hostsweep-conservation-"))
    try:
        root = base / "root"
        root.mkdir()
        made = _build(root, tree)
        (base / "list.txt").write_text("ab" * 16 + "\n")
        app = App(Config(), StateDirectory(base / "state", base / "state" / "quarantine"))
        before = _find(root)
        victims = [made[n] for n in vanish if n < len(made)]
        counts = _scan(app, root, base, list(victims))
        assert counts.balanced
        assert _find(root) <= counts.files <= before
        if not victims:
            assert counts.files == before
        if twice:
            again = _scan(app, root, base, [])
            assert again.balanced and again.files == _find(root)
    finally:
        shutil.rmtree(base)


def _scan(app: App, root: Path, base: Path, victims: list[bytes]) -> ScanCounts:
    outcome = asyncio.run(
        app.scan_paths(
            [root],
            [str(base / "list.txt")],
            _Vanishing(victims),
            threading.Event(),
            quarantine=False,
            full=False,
        )
    )
    return outcome.counts
