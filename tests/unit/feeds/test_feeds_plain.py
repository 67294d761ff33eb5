"""Plain lists: md5sum and its family, bare digests, and what must not be guessed."""

from __future__ import annotations

import hashlib

import pytest

from scanner.model.errors import FeedFormatError, FeedRefusedError
from scanner.model.feeds import LISTED, Entry

MD5 = hashlib.md5(b"a").hexdigest()
SHA1 = hashlib.sha1(b"a").hexdigest()
SHA256 = hashlib.sha256(b"a").hexdigest()


def entry(kind: str, digits: str) -> Entry:
    return Entry(((kind, bytes.fromhex(digits)),), "", LISTED)


def test_length_tells_the_kind_and_comments_names_and_blank_lines_are_passed_over(read):
    text = f"# a list\n\n{MD5}\n{SHA1.upper()}  picture 1.jpg\n{MD5} *b.jpg\r\n  # end\n\n\n"
    entries, result = read(text.encode())
    assert entries == [entry("md5", MD5), entry("sha1", SHA1), entry("md5", MD5)]
    assert result.format == "plain"
    assert result.counts.hashes == {"md5": 2, "sha1": 1}
    assert result.counts.categories == {LISTED: 3}


@pytest.mark.parametrize(
    "line",
    [
        f"\\{SHA256}  a\\nb.jpg",
        f"SHA256 (a (1) = b.jpg) = {SHA256}",
        f"\\SHA256 (a\\nb.jpg) = {SHA256}",
        f"SHA2-256(a.jpg)= {SHA256.upper()}",
        f"{SHA256}  a.jpg",
        f"{SHA256} *a.jpg",
    ],
)
def test_lines_of_sha256sum_and_its_relatives_declare_themselves(read, line):
    assert read(line.encode() + b"\n")[0] == [entry("sha256", SHA256)]


@pytest.mark.parametrize("line", [SHA256, f"{SHA256} a.jpg", f"{SHA256}\ta.jpg", f"{SHA256}  "])
def test_64_digits_that_nothing_declares_are_refused_and_the_remedy_is_told(read, line):
    with pytest.raises(FeedRefusedError, match=r"line 2: .*SHA-256 or PDQ.*hash: sha256, or hash: pdq"):
        read(f"{MD5}\n{line}\n".encode())


@pytest.mark.parametrize("kind", ["sha256", "pdq"])
def test_64_digits_are_what_the_feed_declares(read, kind):
    entries, _ = read(f"{SHA256}\n{SHA256}  a.jpg\n{MD5}\n".encode(), hash=kind)
    assert entries == [entry(kind, SHA256), entry(kind, SHA256), entry("md5", MD5)]


@pytest.mark.parametrize(
    ("encoding", "mark"), [("utf-8", b"\xef\xbb\xbf"), ("utf-16-le", b"\xff\xfe"), ("utf-16-be", b"\xfe\xff")]
)
def test_a_byte_order_mark_says_the_encoding(read, encoding, mark):
    assert read(mark + f"{MD5}\r\n{SHA1}\r\n".encode(encoding))[0] == [entry("md5", MD5), entry("sha1", SHA1)]


def test_names_need_not_be_utf_8(read):
    assert read(f"{MD5}  caf".encode() + b"\xe9\n")[0] == [entry("md5", MD5)]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        (MD5[:-1], "31 hexadecimal digits"),
        (MD5 + "a", "33 hexadecimal digits"),
        (hashlib.sha512(b"a").hexdigest(), "128 hexadecimal digits"),
        (MD5[:-1] + "g", "something else"),
        (f"{MD5},1", "something else"),
        (f"{MD5}:123:name", "something else"),
        (f"SHA256 (a) = {MD5}", "64 hexadecimal digits, found 32"),
    ],
)
def test_anything_else_fails_the_whole_list_with_its_line(read, line, found):
    with pytest.raises(FeedFormatError, match=rf"line 3: .*{found}") as caught:
        read(f"{MD5}\n\n{line}\n{SHA1}\n".encode(), "plain")
    assert MD5[:16] not in str(caught.value)  # errors go to the log, hashes never do


@pytest.mark.parametrize("end", ["\0", "\r"])
def test_other_line_ends_would_hide_all_but_the_first_digest_and_are_an_error(read, end):
    with pytest.raises(FeedFormatError, match="line 1: "):
        read(end.join([f"{MD5}  a.jpg", f"{SHA1}  b.jpg"]).encode(), "plain")


def test_tags_of_kinds_that_cannot_be_matched_are_counted(read):
    line = f"SHA384 (a) = {hashlib.sha384(b'a').hexdigest()}\n"
    entries, result = read(f"MD5 (a) = {MD5}\n{line}".encode())
    assert entries == [entry("md5", MD5)]
    assert result.counts.unsupported == {"sha384": 1}


def test_digests_of_harmless_files_are_dropped_and_counted(read):
    empty = [hashlib.new(k, b"").hexdigest() for k in ("md5", "sha1")]
    lines = [*empty, "0" * 32, "f" * 40, f"{hashlib.sha256(b'').hexdigest()}  empty", MD5]
    entries, result = read("\n".join(lines).encode())
    assert entries == [entry("md5", MD5)]
    assert result.counts.refused == {"empty_input": 3, "all_zeros": 1, "all_ones": 1}
    assert result.counts.entries == 1
