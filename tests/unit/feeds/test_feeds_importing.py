"""Recognising and importing: what auto refuses, what a declaration can't force, and compression."""

from __future__ import annotations

import gzip
import hashlib
import os
from pathlib import Path

import pytest

from scanner.feeds import FormatOptions, available_formats, import_list
from scanner.feeds.formats import PlainFormat
from scanner.model.errors import FeedError, FeedFormatError, FeedRefusedError, StorageError

MD5 = hashlib.md5(b"a").hexdigest()
PLAIN, CSV = f"{MD5}\n".encode(), f"md5,id\n{MD5},1\n".encode()
VICS = f'{{"value":[{{"MD5":"{MD5}"}}]}}'.encode()


class Sums(PlainFormat):
    """A second format that could be the same list."""

    @property
    def name(self) -> str:
        return "sums"


class Broken(PlainFormat):
    def parse(self, stream, options, counts):
        raise KeyError("a bug")
        yield


@pytest.mark.parametrize(("content", "name"), [(PLAIN, "plain"), (CSV, "csv"), (VICS, "vics")])
def test_content_tells_the_format(read, content, name):
    assert read(content)[1].format == name
    assert read(content, name)[1].format == name


@pytest.mark.parametrize(
    ("content", "declared", "other"),
    [(VICS, "csv", "vics"), (VICS, "plain", "vics"), (CSV, "plain", "csv"), (PLAIN, "vics", "plain")],
)
def test_a_declaration_that_the_content_contradicts_is_an_error(read, content, declared, other):
    with pytest.raises(FeedRefusedError, match=f"declared as {declared}, but .*{other}, because"):
        read(content, declared)


def test_auto_refuses_what_could_be_two_formats_and_names_both(tmp_path: Path):
    path = tmp_path / "list"
    path.write_bytes(PLAIN)
    formats = {"plain": PlainFormat(), "sums": Sums()}
    with pytest.raises(FeedRefusedError, match=r"format: plain or format: sums"):
        import_list(path, "auto", FormatOptions(), [].append, formats=formats)
    assert import_list(path, "sums", FormatOptions(), [].append, formats=formats).format == "sums"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PK\x03\x04rest", "ZIP"),
        (b"<!DOCTYPE html><html>", "login or error page"),
        (b"hello world\n", "none of plain, csv.*Declare it"),
        (f"{MD5},1\n".encode(), "Declare it"),
    ],
)
def test_auto_refuses_the_unknown_and_says_what_to_do(read, content, message):
    with pytest.raises(FeedRefusedError, match=message):
        read(content)


def test_an_unknown_format_name_is_refused_with_the_known_ones(read):
    with pytest.raises(FeedRefusedError, match=r"'vix'.*plain, csv, .*auto"):
        read(PLAIN, "vix")


@pytest.mark.parametrize("content", [PLAIN, CSV, VICS])
def test_gzip_is_read_through_and_the_digest_is_of_the_exact_bytes(read, content):
    packed = gzip.compress(content)
    entries, result = read(packed)
    assert len(entries) == 1
    assert result.sha256 == hashlib.sha256(packed).hexdigest()
    assert result.bytes == len(packed)


@pytest.mark.parametrize("damage", [lambda b: b[:-9], lambda b: b[:-8] + b"\0" * 8])
def test_gzip_that_is_cut_or_damaged_fails_the_list(read, damage):
    with pytest.raises(FeedFormatError, match="gzip"):
        read(damage(gzip.compress(PLAIN * 1000)), "plain")


def test_utf_16_that_is_cut_inside_a_character_fails_the_list(read):
    with pytest.raises(FeedFormatError, match="utf-16"):
        read("\ufeff".encode("utf-16-le") + f"{MD5}\n".encode("utf-16-le") + b"x", "plain")


@pytest.mark.parametrize("encoding", ["base64", "rot13", "undefined"])
def test_an_encoding_that_python_knows_and_that_is_no_text_is_refused(read, encoding):
    with pytest.raises(FeedRefusedError, match=f"no text encoding '{encoding}'"):
        read(PLAIN, encoding=encoding)


def test_an_unknown_encoding_is_refused(read):
    with pytest.raises(FeedRefusedError, match="no text encoding 'klingon'"):
        read(PLAIN, encoding="klingon")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the list is empty"),
        (gzip.compress(b""), "the list is empty"),
        (b"\xef\xbb\xbf", "no usable entry|recognised|empty"),
        (b"# nothing\n", "no usable entry"),
        (b"0" * 32, r"no usable entry: only 1 refused \(all_zeros\)"),
    ],
)
def test_a_list_without_a_usable_entry_is_refused(read, content, message):
    with pytest.raises(FeedRefusedError, match=message):
        read(content, "plain")


def test_missing_and_unreadable_lists_name_path_and_remedy(tmp_path: Path):
    for path in (tmp_path / "absent", tmp_path):
        with pytest.raises(FeedRefusedError, match="can't be read") as caught:
            import_list(path, "auto", FormatOptions(), [].append)
        assert str(path) in str(caught.value)
        assert caught.value.remedy


def test_a_list_may_come_through_a_pipe():
    read_end, write_end = os.pipe()
    os.write(write_end, PLAIN)
    os.close(write_end)
    entries: list[object] = []
    import_list(Path(f"/dev/fd/{read_end}"), "auto", FormatOptions(), entries.append)
    os.close(read_end)
    assert len(entries) == 1


def test_a_bug_in_a_format_is_that_lists_error_and_one_of_the_sink_is_not(tmp_path: Path):
    path = tmp_path / "list"
    path.write_bytes(PLAIN)
    with pytest.raises(FeedFormatError, match=r"reading it as plain failed \(KeyError\)"):
        import_list(path, "auto", FormatOptions(), [].append, formats={"plain": Broken()})

    def full(entry: object) -> None:
        raise StorageError("no space")

    with pytest.raises(StorageError):
        import_list(path, "auto", FormatOptions(), full)


def test_an_installed_package_adds_a_format_but_replaces_none(tmp_path: Path, monkeypatch):
    (tmp_path / "their_format.py").write_text(
        "from scanner.feeds.formats import PlainFormat\n"
        "class Theirs(PlainFormat):\n    name = 'theirs'\n"
        "class Fake(PlainFormat):\n    name = 'vics'\n"
    )
    info = tmp_path / "their_format-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-format\nVersion: 1\n")
    points = info / "entry_points.txt"
    points.write_text("[hostsweep.feed_formats]\ntheirs = their_format:Theirs\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert list(available_formats())[-1] == "theirs"
    points.write_text("[hostsweep.feed_formats]\nvics = their_format:Fake\n")
    with pytest.raises(Exception, match="'vics' exists already") as caught:
        available_formats()
    assert not isinstance(caught.value, FeedError)
