"""What is taken for a private store, and what only looks like one."""

from __future__ import annotations

import pytest

from scanner.sources.mail import is_spool, private_store, signs


@pytest.mark.parametrize(
    ("path", "directories", "files", "left_out"),
    [
        (b"u/Maildir", ["cur", "new", "tmp", ".Sent"], b"", (False, {"cur", "new", "tmp"})),
        (b"any/name", ["cur", "new", "tmp"], b"dovecot-uidlist", (True, {"cur", "new", "tmp"})),
        (b"u/dbox-Mails", [], b"u.1\0dovecot.index.log", (True, set())),
        (b"u/mdbox", ["mailboxes", "storage"], b"", (True, {"mailboxes", "storage"})),
        (b"u/mail", [".imap"], b"INBOX\0Sent", (True, {".imap"})),
        (b"media", ["local_content", "remote_content", "local_thumbnails"], b"",
         (False, {"local_content", "remote_content", "local_thumbnails", "remote_thumbnail"})),
        (b"data/20240131", ["teams"], b"", (False, {"teams"})),
    ],
)  # fmt: skip
def test_a_store_is_told_by_its_layout(
    path: bytes, directories: list[str], files: bytes, left_out: tuple[bool, set[str]]
) -> None:
    store = private_store(path, signs(directories, files))
    assert store is not None
    assert (store.files, store.directories) == left_out


@pytest.mark.parametrize(
    ("path", "directories", "files"),
    [
        (b"u/Maildir", ["cur", "new"], b"1.jpg"),
        (b"u/mdbox", ["pictures"], b"1.jpg"),
        (b"u/mail", ["pictures"], b"1.jpg"),
        (b"site", ["storage", "tmp", "new"], b"dovecot.jpg\0about-dovecot.index"),
        (b"site", ["teams"], b""),
    ],
)
def test_a_name_alone_is_no_store(path: bytes, directories: list[str], files: bytes) -> None:
    assert private_store(path, signs(directories, files)) is None


def test_spools_are_those_of_the_system_only() -> None:
    assert is_spool(b"var/mail")
    assert not is_spool(b"customer/var/mail")
