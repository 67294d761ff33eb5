"""The sample tree and its list say of themselves what is true."""

from __future__ import annotations

import hashlib
import os
import stat
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from demo.listed import LISTED, hash_list
from demo.pictures import drawing, encoded, photo
from demo.server import SIGNATURE, ListServer
from demo.tree import Tree, make_tree


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    return make_tree(tmp_path_factory.mktemp("tree") / "www")


def regular_files(root: Path) -> list[Path]:
    return [p for p in root.rglob("*") if stat.S_ISREG(p.lstat().st_mode)]


def test_the_tree_holds_as_many_files_as_it_says(tree):
    assert len(regular_files(tree.root)) == tree.kinds.total()


def test_files_said_to_be_exact_are_the_published_ones_and_no_others_are(tree):
    listed = {hashlib.sha256(p.data).digest() for p in LISTED if p.exact and p.category != "0"}
    same = {p for p in regular_files(tree.root) if hashlib.sha256(p.read_bytes()).digest() in listed}
    in_mail = {p for p in same if b"Maildir" in os.fsencode(p)}
    assert same - in_mail == {tree.at(at.path) for at in tree.planted if at.exact}
    assert len(in_mail) == 1


def test_pictures_are_the_same_for_the_same_seed_and_differ_between_seeds():
    for make in (photo, drawing):
        assert encoded(make(7), "PNG") == encoded(make(7), "PNG")
        assert encoded(make(7), "PNG") != encoded(make(7 + 16), "PNG")


def test_every_line_of_the_list_has_the_header_s_columns_and_some_hash():
    header, *lines = hash_list({p.entry: "0f" * 32 for p in LISTED}).decode().splitlines()
    assert header == "id,sha256,pdq,category"
    rows = [line.split(",") for line in lines]
    assert all(len(row) == 4 and (row[1] or row[2]) for row in rows)
    assert len({row[0] for row in rows}) == len(rows) > len(LISTED)


def test_the_list_server_sends_a_list_once_and_again_only_when_it_changed():
    with ListServer() as server:
        server.publish(b"one", b"signed")
        first = urllib.request.urlopen(server.url)
        ask = urllib.request.Request(server.url, headers={"If-None-Match": first.headers["ETag"]})
        assert first.read() == b"one"
        with pytest.raises(urllib.error.HTTPError, match="304"):
            urllib.request.urlopen(ask)
        server.publish(b"two", b"signed again")
        assert urllib.request.urlopen(ask).read() == b"two"
        assert urllib.request.urlopen(server.url + SIGNATURE).read() == b"signed again"
        assert server.statuses == (200, 304, 200)
