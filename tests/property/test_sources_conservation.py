"""No file is lost and none is counted twice, whatever the tree looks like."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections import Counter
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scanner.model.files import DirectoryFailed, DirectoryMet, FilesSkipped, OthersMet
from scanner.sources import WalkPolicy, compile_excludes, walk

NAMES = st.sampled_from(
    [b"a", b"b", b"new\nline", b"\xff\xfe", b"\x1b[31mred", b" ", b"-rf", b"x.iso", b"dovecot.index",
     b"n" * 255, "é".encode()]
)  # fmt: skip
DIRECTORY_NAMES = NAMES | st.sampled_from(
    [b"cache", b"cur", b"new", b"tmp", b"Maildir", b"mdbox", b"mailboxes"]
)
LEAVES = st.sampled_from(["file", "link", "directory link", "fifo", "socket", "hard link", "dangling"])
TREES = st.recursive(
    st.dictionaries(NAMES, LEAVES, max_size=5),
    lambda below: st.dictionaries(DIRECTORY_NAMES, LEAVES | below, max_size=5),
    max_leaves=25,
)
UNREADABLE = st.sets(st.integers(0, 8), max_size=2)
POLICIES = st.builds(
    WalkPolicy,
    excludes=st.sampled_from([None, compile_excludes(["**/cache/**", "*.iso", "/a/b", "new?line/"])]),
    max_depth=st.sampled_from([0, 1, 2, 1024]),
    mail_ground=st.sampled_from(["", "ground"]),
    racy_ns=st.just(0),
)


def grow(directory: bytes, tree: dict[bytes, object], source: bytes) -> None:
    os.mkdir(directory)
    for name, what in tree.items():
        path = os.path.join(directory, name)
        match what:
            case dict():
                grow(path, what, source)
            case "file":
                os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
            case "link":
                os.symlink(source, path)
            case "directory link":
                os.symlink(b"..", path)
            case "dangling":
                os.symlink(b"nowhere", path)
            case "hard link":
                os.link(source, path)
            case "fifo":
                os.mkfifo(path)
            case "socket":
                bind(directory, name)


def bind(directory: bytes, name: bytes) -> None:
    # An address has 108 bytes at most: it is bound under a short name and moved to the long one.
    with socket.socket(socket.AF_UNIX) as sock, tempfile.TemporaryDirectory() as short:
        sock.bind(f"{short}/s")
        os.rename(f"{short}/s", os.path.join(directory, name))


def found(root: bytes, kind: str) -> int:
    out = subprocess.run(
        [b"find", root, b"-type", kind.encode(), b"-printf", b"x"], capture_output=True, check=False
    )
    return len(out.stdout)


def close_some(root: bytes, which: set[int]) -> None:
    directories = sorted(d for d, _, _ in os.walk(root))
    for i in which & set(range(1, len(directories))):
        os.chmod(directories[i], 0)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(TREES, POLICIES, UNREADABLE, st.sampled_from([2, 8192]))
def test_files_in_all_events_are_the_files_that_find_finds(
    tree: dict[bytes, object], policy: WalkPolicy, unreadable: set[int], block: int
) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        top = os.fsencode(temporary)
        source = os.path.join(top, b"source")
        os.close(os.open(source, os.O_CREAT))
        root = os.path.join(top, b"volume")
        grow(root, tree, source)
        if os.getuid() != 0:
            close_some(root, unreadable)
        fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            with patched_block(block):
                events = list(walk(fd, policy, None, lambda: 1 << 62))
            files = sum(
                len(e.changed)
                if isinstance(e, DirectoryMet)
                else e.files
                if isinstance(e, FilesSkipped)
                else 0
                for e in events
            )
            assert files == found(root, "f")
            others: Counter[str] = Counter()
            for e in events:
                if isinstance(e, OthersMet):
                    others.update(e.counts)
            expected = {"symlink": found(root, "l"), "fifo": found(root, "p"), "socket": found(root, "s")}
            assert others == Counter({k: n for k, n in expected.items() if n})
            if os.getuid() == 0:
                assert not [e for e in events if isinstance(e, DirectoryFailed)]
        finally:
            os.close(fd)
            subprocess.run(["chmod", "-R", "u+rwx", root], check=False, capture_output=True)
            shutil.rmtree(root, ignore_errors=True)


class patched_block:
    """Blocks of another size, so that small directories are large ones."""

    def __init__(self, entries: int) -> None:
        self._entries = entries

    def __enter__(self) -> None:
        from scanner.sources import listing

        self._before = listing.BLOCK_ENTRIES
        listing.BLOCK_ENTRIES = self._entries

    def __exit__(self, *_: object) -> None:
        from scanner.sources import listing

        listing.BLOCK_ENTRIES = self._before


def test_many_files_of_one_inode_are_each_counted(tmp_path: Path) -> None:
    (tmp_path / "one").touch()
    for i in range(3):
        os.link(tmp_path / "one", tmp_path / f"{i}")
    fd = os.open(tmp_path, os.O_RDONLY)
    (event,) = walk(fd, WalkPolicy(), None, lambda: 1 << 62)
    os.close(fd)
    assert isinstance(event, DirectoryMet)
    assert [s.links for s in event.changed] == [4] * 4
