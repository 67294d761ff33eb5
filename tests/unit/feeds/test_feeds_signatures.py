"""Where a signature is looked for, and how much of it is taken."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from scanner.feeds import FeedStore
from scanner.feeds.exchanges import Reply
from scanner.feeds.published import published
from scanner.feeds.signatures import (
    MAX_SIGNATURE,
    address,
    beside,
    fetch_signature,
    file_name,
    local_signature,
    read_signature,
)
from scanner.feeds.trust.errors import SignatureFormError
from scanner.feeds.trust.remembered import accepted_from, from_file, to_file
from scanner.feeds.trust.rules import Accepted
from scanner.model.errors import FeedRefusedError, FeedTransportError, StorageError


class Answers:
    """A client that has one answer."""

    def __init__(self, status: int, body: bytes) -> None:
        self.reply = Reply(status, {}, body, "")

    async def get(self, url: str, *, limit: int, accept: frozenset[int], **_: Any) -> Reply:
        assert limit == MAX_SIGNATURE and self.reply.status in {200, *accept}
        if len(self.reply.body) > limit:
            raise FeedRefusedError("too large")
        return self.reply

    async def post(self, *_: Any, **__: Any) -> Reply:
        raise AssertionError


async def test_a_signature_that_is_missing_is_none_and_one_without_end_is_refused() -> None:
    assert await fetch_signature("u", Answers(200, b"x")) == b"x"
    for status in (404, 410):
        assert await fetch_signature("u", Answers(status, b"<html>")) == b""
    with pytest.raises(SignatureFormError):
        await fetch_signature("u", Answers(200, b"x" * (MAX_SIGNATURE + 1)))


def test_a_signature_is_beside_its_list() -> None:
    assert address("https://h/a/list.json?token=x", "minisign") == "https://h/a/list.json.minisig?token=x"
    assert address("file:///a%20b/l", "openpgp") == "file:///a%20b/l.asc"
    assert file_name("https://h/a/my%20list.json?x=/y") == "my list.json"


def test_a_signature_on_this_machine_is_read_whatever_stands_there(tmp_path: Path) -> None:
    listed = tmp_path / "a list"
    assert beside(listed, "openpgp") is None and local_signature(f"file://{tmp_path}/none") == b""
    (tmp_path / "a list.sig").write_bytes(b"x" * (1 << 20))
    assert beside(listed, "openpgp") == tmp_path / "a list.sig"
    assert len(local_signature(f"file://{tmp_path}/a%20list.sig")) == MAX_SIGNATURE + 1
    # Where the feed's address is a folder, the signature is beside the list that was taken from it.
    folder = address(f"file://{tmp_path}/", "openpgp").replace(".asc", ".sig")
    assert len(local_signature(folder, "a list")) == MAX_SIGNATURE + 1 and local_signature(folder) == b""
    os.mkfifo(tmp_path / "pipe")
    assert read_signature(tmp_path / "pipe") == b""  # and nobody waits for a writer
    with pytest.raises(FeedTransportError):
        read_signature(tmp_path)


def test_a_list_is_digested_whole_and_its_place_left_alone(tmp_path: Path) -> None:
    data = bytes(range(256)) * 5000
    (tmp_path / "list").write_bytes(data)
    with (tmp_path / "list").open("rb") as file:
        file.seek(7)
        found = published(file.fileno(), content=True)
        assert (found.digest, found.content) == (hashlib.blake2b(data).digest(), data)
        assert published(file.fileno()).content is None and file.tell() == 7


def test_a_crash_while_a_list_is_put_into_use_never_leaves_the_way_back_to_it_open(tmp_path: Path) -> None:
    store, accepted = FeedStore(tmp_path / "feeds"), Accepted("minisign", "AB", 5, 9, "cd" * 64, "ef" * 32)
    (tmp_path / "index").write_bytes(b"1")
    store.promote("police", tmp_path / "index", Accepted("minisign", "AB", 4, 8, "ab" * 64, "ef" * 32))
    with pytest.raises(StorageError):  # stopped after what is remembered, before the list
        store.promote("police", tmp_path / "gone", accepted)
    assert store.trust("police").remembered().accepted == accepted
    assert store.state("police").trust["serial"] == 8 and store.current("police") is not None
    # A damaged state takes no word for a list that it was not given for.
    (tmp_path / "feeds" / "police" / "state.json").write_text("{")
    assert store.state("police").current == "snapshot-00000001" and not store.state("police").trust
    # An unsigned list in between leaves what was remembered as it is.
    (tmp_path / "index").write_bytes(b"2")
    store.promote("police", tmp_path / "index")
    assert not store.state("police").trust and store.trust("police").remembered().accepted == accepted


def test_what_was_accepted_is_remembered_exactly_or_not_at_all() -> None:
    accepted = Accepted("minisign", "AB", 5, None, "cd" * 64, "ef" * 32)
    assert from_file(to_file(accepted, "snapshot-00000001")) == (accepted, "snapshot-00000001")
    assert from_file(to_file(None, "")) == (None, "")
    whole = to_file(accepted, "s")
    for broken in (
        b"", b"[]", b"{}", b"[" * 100_000, whole[:-9], whole.replace(b'"serial": null', b'"serial": "1"'),
        whole.replace(b'"signed_ns": 5', b'"signed_ns": -5'), whole.replace(b'"minisign"', b'"none"'),
        whole.replace(b'"key": "AB"', b'"key": "\\u001b"'), whole.replace(b'"version": 1', b'"version": 2'),
        whole.replace(b'"snapshot": "s"', b'"snapshot": 1'), whole.replace(b'"digest"', b'"more"'),
    ):  # fmt: skip
        assert broken != whole
        with pytest.raises(ValueError):
            from_file(broken)
    with pytest.raises(ValueError):
        accepted_from({})
