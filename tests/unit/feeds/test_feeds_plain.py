"""Plain lists: md5sum and its family, bare digests, and what must not be guessed."""

from __future__ import annotations

import base64
import hashlib
import io
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.feeds import FormatOptions
from scanner.feeds.formats import PlainFormat
from scanner.model.errors import FeedError, FeedFormatError, FeedRefusedError
from scanner.model.feeds import LISTED, Entry, ImportCounts, entries_of
from scanner.model.hashes import KINDS

SIZES = {name: kind.size for name, kind in KINDS.items()}

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
        (hashlib.sha512(b"a").hexdigest() + "ab", "130 hexadecimal digits"),
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


def test_longer_digests_are_told_by_length_and_counted_or_used(read):
    sha512 = hashlib.sha512(b"a").hexdigest()
    entries, result = read(f"{sha512}\n{MD5}\n{sha512}  name\n".encode())
    known = "sha512" in KINDS
    assert len(entries) == (3 if known else 1)
    assert result.counts.unsupported == ({} if known else {"sha512": 2})


@pytest.mark.parametrize(("header", "digits"), [("MD5", MD5), ("SHA-1", SHA1), ("SHA-256", SHA256)])
def test_a_first_line_that_names_the_kind_declares_the_list(read, header, digits):
    text = f"\ufeff{header}\r\n{digits.upper()}\r\n{digits}\r\n"
    kind = header.casefold().replace("-", "")
    entries, _ = read(text.encode("utf-16-le"), "plain")
    assert entries == [entry(kind, digits), entry(kind, digits)]
    assert read(text.encode())[0] == entries  # and auto needs no declaration either
    with pytest.raises(FeedFormatError, match=r"line 2: expected a digest of \d+ hexadecimal digits"):
        read(f"{header}\n{digits[:-8]}\n".encode(), "plain")
    with pytest.raises(FeedFormatError, match=f"the first line says that these are {kind}"):
        read(text.encode(), "plain", hash="pdq")


def test_tags_of_cksum_carry_base64(read):
    text = "".join(
        f"{kind.upper()} (a = b) = {base64.b64encode(bytes.fromhex(digits)).decode()}\n"
        for kind, digits in (("md5", MD5), ("sha1", SHA1), ("sha256", SHA256))
    )
    assert read(text.encode())[0] == [entry("md5", MD5), entry("sha1", SHA1), entry("sha256", SHA256)]
    with pytest.raises(FeedFormatError, match="line 1: expected a digest"):
        read(b"MD5 (a) = " + b"!" * 24 + b"\n" + text.encode(), "plain")
    with pytest.raises(FeedFormatError, match=r"line 1: md5 in base64 has 24 characters"):
        read(b"MD5 (a) = " + b"A" * 23 + b"=\n" + text.encode(), "plain")


ODD_LINES = [
    *(MD5, f"{MD5}\r", f"\\{MD5}  a\\nb", f"{MD5} *x", f"{MD5}\t\t", f"  {MD5}", f"{MD5}  {MD5}", "", "# x"),
    *(SHA1, f"{SHA256}  n", f"{SHA256} \r", f"SHA1 (n) = {SHA1}", MD5.upper(), "0" * 32, f"{MD5}é"),
]


@settings(max_examples=80, deadline=None)
@given(st.lists(st.sampled_from(ODD_LINES), min_size=1), st.booleans(), st.sampled_from([None, "sha256"]))
def test_many_lines_at_once_are_what_they_are_one_by_one(lines, ended, declared):
    """A block is read in three ways, by what its lines have in common."""
    content = ("\n".join(lines) + "\n" * ended).encode()
    options = FormatOptions(hash=declared)

    def outcome(content: bytes, counts: ImportCounts) -> object:
        try:
            items = [*PlainFormat().parse(io.BytesIO(content), options, counts)]
            return [e for i in items for e in entries_of(i, SIZES)], counts
        except FeedError as e:
            return type(e)

    # A comment makes it go line by line, and moves all lines by one.
    apart = outcome(b"# a comment\n" + content, ImportCounts())
    if isinstance(apart, tuple):
        apart[1].first_malformed = re.sub(
            r"\d+", lambda n: str(int(n[0]) - 1), apart[1].first_malformed, count=1
        )
    assert outcome(content, ImportCounts()) == apart


def test_malformed_lines_are_left_out_up_to_the_share_that_is_allowed(read):
    lines = [hashlib.md5(b"%d" % n).hexdigest() for n in range(98)]
    text = "\n".join([*lines[:50], MD5[:-1], *lines[50:], MD5 + "x"]) + "\n"
    entries, result = read(text.encode(), limits={"max_malformed": 0.02})
    assert [e.hashes[0][1].hex() for e in entries] == lines
    assert result.counts.malformed == 2
    assert result.counts.first_malformed.startswith("line 51: expected a digest")
    with pytest.raises(FeedFormatError, match=r"line 51: .*, and 1 more of 100 records: more than 1.00%"):
        read(text.encode(), limits={"max_malformed": 0.01})


@pytest.mark.parametrize("digits", [MD5, SHA1])
def test_a_list_that_is_cut_never_yields_less_than_what_is_whole_before_the_cut(digits):
    """At a line end, and in a name, a cut can't be known."""
    text = f"{digits}\n{digits}\n{digits}  name\n{digits}\n{digits}\n".encode()
    size, line = len(digits), len(digits) + 1
    first, second = 3 * line + 6, 4 * line + 6  # where the lines after the name begin
    known = {*range(2 * line + size, first + 1), *(first + size, second, second + size)}
    for cut in range(2 * line + 1, len(text)):
        counts = ImportCounts()
        items = PlainFormat().parse(io.BytesIO(text[:cut]), FormatOptions(), counts)
        if cut in known:
            assert [*items] and counts.entries == text[:cut].count(digits.encode())
            assert not counts.malformed
        else:
            with pytest.raises(FeedFormatError, match="the last line has no end and is not whole"):
                list(items)
