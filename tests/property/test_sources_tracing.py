"""What the tracer says of a path is what the walk does with it, on whatever tree."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scanner.model.files import DirectoryFailed, DirectoryMet, FilesSkipped, OthersMet
from scanner.sources import Reach, Trace, WalkPolicy, compile_excludes, trace, walk
from tests.property.test_sources_conservation import LEAVES, NAMES, grow, patched_block

STAGING = b".hostsweep-staging"
DIRECTORY_NAMES = NAMES | st.sampled_from(
    [b"cache", b"cur", b"new", b"tmp", b"mdbox", b"mailboxes", b"mail", b".imap", b"20260102", b"teams",
     b"local_content", b"remote_content", b"local_thumbnails", b".snapshot", b".zfs", STAGING, b"var"]
)  # fmt: skip
FILES = NAMES | st.sampled_from([b"dovecot-uidlist", b"dovecot.index.log", b"dovecot", b".snapshots"])
# Stores that chance alone would hardly ever make.
STORES = st.sampled_from(
    [
        {b"cur": {b"a": "file"}, b"new": {}, b"tmp": {b"b": {b"c": "file"}}, b"d": "file"},
        {b"dovecot-uidlist": "file", b"a": "file", b"b": {b"c": "file"}},
        {b"local_content": {b"a": "file"}, b"remote_content": {}, b"local_thumbnails": {b"b": "file"}},
        {b".imap": {b"a": "file"}, b"b": "file", b"mailboxes": {b"c": "file"}},
    ]
)
TREES = st.recursive(
    st.dictionaries(FILES, LEAVES, max_size=5),
    lambda below: st.dictionaries(DIRECTORY_NAMES | FILES, LEAVES | below | STORES, max_size=6),
    max_leaves=30,
)
POLICIES = st.builds(
    WalkPolicy,
    excludes=st.sampled_from(
        [None, compile_excludes(["**/cache/**", "*.iso", "/a/b", "new?line/"]), compile_excludes(["**"])]
    ),
    max_depth=st.sampled_from([0, 1, 2, 1024]),
    mail_ground=st.sampled_from(["", "", "ground"]),
    snapshots=st.booleans(),
    own_name=st.sampled_from([b"", STAGING]),
    own_owners=st.just(frozenset({os.getuid()})),
    racy_ns=st.just(0),
    native=st.booleans(),
)


def entries(root: bytes) -> Iterator[bytes]:
    """Every path below a root, without following a link and whatever may be read: by whoever may."""
    out = subprocess.run([b"find", root, b"-mindepth", b"1", b"-printf", b"%P\\0"], capture_output=True)
    yield from (path for path in out.stdout.split(b"\0") if path)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(TREES, POLICIES, st.sets(st.integers(0, 8), max_size=2), st.sampled_from([2, 8192]), st.booleans())
def test_a_path_is_traced_as_met_if_and_only_if_the_walk_meets_it(
    tree: dict[bytes, object], policy: WalkPolicy, unreadable: set[int], block: int, private: bool
) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        top = os.fsencode(temporary)
        source, root = os.path.join(top, b"source"), os.path.join(top, b"volume")
        os.close(os.open(source, os.O_CREAT))
        grow(root, tree, source)
        for path in list(entries(root)):
            if private and path.endswith(STAGING) and not os.path.islink(os.path.join(root, path)):
                os.chmod(os.path.join(root, path), 0o700)
        files = {path for path in entries(root) if is_file(os.path.join(root, path))}
        if not reads_everything():
            close(root, unreadable)
        fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            with patched_block(block):
                walked = Walked(list(walk(fd, policy, None, lambda: 1 << 62)))
            walked.compare({path: trace(fd, path, policy) for path in (b"", *entries(root))}, files, root)
        finally:
            os.close(fd)
            subprocess.run(["chmod", "-R", "u+rwx", root], check=False, capture_output=True)
            shutil.rmtree(root, ignore_errors=True)


def close(root: bytes, which: set[int]) -> None:
    """Take the right to list some directories, and to look at what others list; the deepest first."""
    directories = sorted(d for d, _, _ in os.walk(root))
    for i in sorted(which & set(range(1, len(directories))), reverse=True):
        os.chmod(directories[i], 0o400 * (i % 2))


def reads_everything() -> bool:
    """CAP_DAC_OVERRIDE or CAP_DAC_READ_SEARCH, bits 1 and 2 (capabilities(7))."""
    status = Path("/proc/self/status").read_text("ascii")
    return bool(int(status.partition("CapEff:")[2].split()[0], 16) & 0b110)


class Walked:
    """What the events of one walk say."""

    def __init__(self, events: list[object]) -> None:
        self.files: set[bytes] = set()
        self.directories: set[bytes] = set()
        self.failed: set[tuple[bytes, str]] = set()
        self.skipped: Counter[tuple[bytes, str]] = Counter()
        self.others: Counter[str] = Counter()
        for event in events:
            match event:
                case DirectoryMet():
                    self.directories.add(event.path)
                    self.files |= {os.path.join(event.path, each.name) for each in event.changed}
                case DirectoryFailed():
                    self.failed.add((event.path, event.kind))
                case FilesSkipped():
                    self.skipped[event.path, event.reason] += event.files
                case OthersMet():
                    self.others.update(event.counts)

    def compare(self, traced: dict[bytes, Trace], files: set[bytes], root: bytes) -> None:
        def of(*reaches: Reach) -> dict[bytes, Trace]:
            return {path: each for path, each in traced.items() if each.reach in reaches}

        assert of(Reach.FILE).keys() == self.files
        failed_here = {path for path, _ in self.failed}
        assert of(Reach.DIRECTORY).keys() | failed_here == self.directories | failed_here
        assert not of(Reach.ABSENT)
        # A directory that is too deep is left out, and fails besides where it can't be counted.
        too_deep = {each.at for each in traced.values() if each.reason == "depth"}
        failed = {(t.at, t.reason) for t in of(Reach.FAILED).values() if t.reason != "unreadable"}
        assert failed == {(path, kind) for path, kind in self.failed if path not in too_deep}
        # What is left out is left out for the reason that the walk counts it by: one event for each place.
        left_out: Counter[tuple[bytes, str]] = Counter()
        for path, each in of(Reach.LEFT_OUT).items():
            if each.reason in ("snapshot", "mount"):
                continue
            inside = each.at if os.path.isdir(os.path.join(root, each.at)) else os.path.dirname(path)
            left_out[inside, each.reason] += path in files
        left_out.update((os.path.dirname(p), t.reason) for p, t in traced.items() if t.reason == "unreadable")
        assert +left_out == +self.skipped
        counted = Counter(each.reason for path, each in of(Reach.NO_FILE).items() if each.at == path)
        walked_others = Counter({k: n for k, n in self.others.items() if k not in ("snapshot", "mount")})
        assert counted <= walked_others
        snapshots = {each.at for each in traced.values() if each.reason == "snapshot"}
        assert self.others["snapshot"] == len(snapshots)


def is_file(path: bytes) -> bool:
    return os.path.isfile(path) and not os.path.islink(path)


def test_what_lies_behind_a_link_or_below_a_file_is_not_reached(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.png").touch()
    (tmp_path / "link").symlink_to("real")
    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        policy = WalkPolicy()
        assert trace(fd, b"link/a.png", policy) == Trace(Reach.NO_FILE, b"link", "symlink")
        assert trace(fd, b"real/a.png/x", policy) == Trace(Reach.ABSENT, b"real/a.png")
        assert trace(fd, b"real/gone/x", policy) == Trace(Reach.ABSENT, b"real/gone")
        met = trace(fd, b"real/a.png", policy)
        assert met.reach is Reach.FILE and met.stat is not None
        assert met.stat.inode == (tmp_path / "real" / "a.png").stat().st_ino
    finally:
        os.close(fd)
