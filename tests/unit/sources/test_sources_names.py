"""Names of known inodes are found by their directory entries, and only where a walk may look."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from scanner.model.files import FilesSkipped
from scanner.sources import WalkPolicy, compile_excludes, find_names, walk

OWN = ".hostsweep-staging"


def names(root: Path, path: Path, policy: WalkPolicy | None = None, stopped: bool = False) -> list[str]:
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        found = find_names(fd, {path.stat().st_ino}, policy or WalkPolicy(), lambda: stopped)
        return sorted((d + b"/" + n).decode().lstrip("/") for d, n in found)
    finally:
        os.close(fd)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "one"
    path.write_bytes(b"x")
    (tmp_path / "other").write_bytes(b"y")
    return path


def link(file: Path, *places: str) -> None:
    for place in places:
        target = file.parent / place
        target.parent.mkdir(parents=True, exist_ok=True)
        target.hardlink_to(file)


def test_all_names_of_an_inode_are_found_and_no_links_to_it(file: Path) -> None:
    link(file, "a/two", "a/b/c/three", "dovecot-like")
    (file.parent / "symbolic").symlink_to(file)
    assert names(file.parent, file) == ["a/b/c/three", "a/two", "dovecot-like", "one"]


def test_what_the_operator_wants_left_alone_is_left_alone(file: Path) -> None:
    link(file, "left-out/two", "a/three.iso", "Maildir/cur/four", "Maildir/new/five", "var/mail/six")
    (file.parent / "Maildir" / "tmp").mkdir()
    excludes = compile_excludes(["left-out", "*.iso"])
    assert names(file.parent, file, WalkPolicy(excludes=excludes)) == ["one"]
    ground = WalkPolicy(excludes=excludes, mail_ground="court order")
    assert names(file.parent, file, ground) == ["Maildir/cur/four", "Maildir/new/five", "one", "var/mail/six"]


def test_a_stop_ends_the_search(file: Path) -> None:
    link(file, "a/two")
    assert names(file.parent, file, stopped=True) == ["one"]


@pytest.mark.parametrize(("mode", "ours"), [(0o700, True), (0o711, False)])
def test_a_folder_of_ours_may_be_anywhere_but_its_name_alone_is_anybodys(
    file: Path, mode: int, ours: bool
) -> None:
    link(file, f"a/b/{OWN}/staged")
    os.chmod(file.parent / "a" / "b" / OWN, mode)
    policy = WalkPolicy(own_name=OWN.encode(), own_owners=frozenset({os.geteuid()}))
    assert names(file.parent, file, policy) == (["one"] if ours else [f"a/b/{OWN}/staged", "one"])
    fd = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY)
    skipped = [e for e in walk(fd, policy, None, lambda: 1 << 62) if isinstance(e, FilesSkipped)]
    os.close(fd)
    expected = [FilesSkipped(f"a/b/{OWN}".encode(), "own", 1)]
    assert skipped == (expected if ours else [])


@pytest.mark.root
def test_a_customers_private_folder_of_our_name_is_walked(file: Path) -> None:
    link(file, f"a/{OWN}/hidden")
    os.chmod(file.parent / "a" / OWN, 0o700)
    os.chown(file.parent / "a" / OWN, 12345, 12345)
    policy = WalkPolicy(own_name=OWN.encode(), own_owners=frozenset({0, os.geteuid()}))
    assert names(file.parent, file, policy) == [f"a/{OWN}/hidden", "one"]
