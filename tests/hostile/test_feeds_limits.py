"""Lists made to exhaust memory, time or the log."""

from __future__ import annotations

import gzip
import hashlib
import json
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest

from scanner.feeds import FormatOptions, import_list
from scanner.model.errors import FeedError, FeedFormatError, FeedRefusedError
from scanner.model.feeds import Entry, entries_of
from scanner.model.hashes import KINDS

MD5 = hashlib.md5(b"a").hexdigest()
MIB = 1024 * 1024

_IMPORT = """
import sys
from pathlib import Path
from scanner.feeds import FormatOptions, import_list

def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(l.split()[1]) for l in lines if l.startswith("VmHWM"))

def sink(item):
    pass
warm = Path(sys.argv[1])
import_list(warm, "auto", FormatOptions(), sink)
before = peak()
result = import_list(Path(sys.argv[2]), "auto", FormatOptions(), sink)
print(result.counts.entries, peak() - before)
"""


def read(path: Path, content: bytes, format: str = "auto", **options: int) -> list[Entry]:
    path.write_bytes(content)
    entries: list[Entry] = []
    sizes = {name: kind.size for name, kind in KINDS.items()}
    import_list(path, format, FormatOptions(), lambda i: entries.extend(entries_of(i, sizes)), **options)
    return entries


def test_a_single_line_of_50_megabytes_of_vics_needs_little_memory(tmp_path: Path):
    warm, large = tmp_path / "warm", tmp_path / "large"
    warm.write_text(f'{{"value":[{{"MD5":"{MD5}"}}]}}')
    record = {"MediaID": 1, "Category": 1, "MD5": "", "SHA1": None, "PhotoDNA": "A" * 192, "Tags": "x" * 300}
    before, after = json.dumps(record).split('"MD5": ""')
    count = 50 * MIB // len(before + after + MD5)
    with large.open("w") as file:
        file.write('{"odata.metadata":"http://x.invalid/ProjectVic#Media","value":[')
        file.write(",".join(f'{before}"MD5": "{n + 1:032x}"{after}' for n in range(count)))
        file.write("]}")
    assert large.stat().st_size >= 50 * MIB
    answer = subprocess.run(
        [sys.executable, "-c", _IMPORT, warm, large], capture_output=True, text=True, check=True, timeout=60
    )
    entries, more_kib = map(int, answer.stdout.split())
    assert entries == count
    assert more_kib < 60 * 1024


@pytest.mark.parametrize(
    "content",
    [
        MD5.encode() + b"  " + b"x" * (40 * MIB) + b"\n" + MD5.encode(),
        b"MD5 (" + b"x" * (40 * MIB) + b") = " + MD5.encode() + b"\n" + MD5.encode(),
    ],
)
def test_a_file_name_of_40_megabytes_is_passed_over_without_being_held(tmp_path: Path, content: bytes):
    path = tmp_path / "list"
    path.write_bytes(content)
    tracemalloc.start()
    result = import_list(path, "plain", FormatOptions(), [].append)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert result.counts.entries == 2
    assert peak < 8 * MIB


def test_a_nul_far_into_a_long_line_is_seen(tmp_path: Path):
    with pytest.raises(FeedFormatError, match="line 1: a NUL byte"):
        read(tmp_path / "l", MD5.encode() + b"  " + b"x" * MIB + b"\0" + b"y" * MIB + b"\n", "plain")


@pytest.mark.parametrize(
    ("content", "format"),
    [
        (f"md5,id\n{MD5},{'x' * (30 * MIB)}\n".encode(), "csv"),
        (f'md5,id\n{MD5},"'.encode() + b"x\n" * (15 * MIB), "csv"),
        (f'{{"value":[{{"MD5":"{MD5}","Tags":"'.encode() + b"x" * (60 * MIB) + b'"}]}', "vics"),
    ],
)
def test_one_endless_value_ends_the_import_early(tmp_path: Path, content: bytes, format: str):
    path = tmp_path / "list"
    path.write_bytes(content)
    tracemalloc.start()
    with pytest.raises(FeedFormatError):
        import_list(path, format, FormatOptions(), [].append)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 25 * MIB


def test_nothing_that_is_passed_over_in_vics_is_kept(tmp_path: Path):
    files = ",".join([json.dumps({"MD5": MD5, "FileName": "n" * 90})] * 60_000)
    path = tmp_path / "list"
    path.write_text(f'{{"value":[{{"MediaFiles":[{files}],"MD5":"{MD5}"}}]}}')
    tracemalloc.start()
    result = import_list(path, "vics", FormatOptions(), [].append)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert result.counts.entries == 1
    assert peak < 10 * MIB  # parsed as a whole it would be more than 30


def test_a_gzip_bomb_ends_at_the_limit_of_its_content(tmp_path: Path):
    line = MD5.encode() + b"\n"
    bomb = gzip.compress(line * (20 * MIB // len(line)), 9)
    assert len(bomb) < 100_000
    with pytest.raises(FeedRefusedError, match="unpacked, the list has more than 1048576 bytes"):
        read(tmp_path / "list", bomb, max_bytes=MIB)


def test_the_size_limit_is_exact(tmp_path: Path):
    content = f"{MD5}\n".encode() * 10
    assert len(read(tmp_path / "list", content, max_bytes=len(content))) == 10
    with pytest.raises(FeedRefusedError, match="more than"):
        read(tmp_path / "list", content, max_bytes=len(content) - 1)


def test_deep_nesting_is_read_without_recursion(tmp_path: Path):
    deep = "[" * 20_000 + "]" * 20_000
    assert len(read(tmp_path / "l", f'{{"value":[{{"x":{deep},"MD5":"{MD5}"}}]}}'.encode())) == 1


@pytest.mark.parametrize(
    "content",
    [
        f'{{"value":[{{"\x1b]0;x\x07":1,"MD5":"{MD5[:-1]}"}}]}}'.encode(),
        b'{"value":[{"\\u001b[31m\\u202e":{"a":',
        b"\x1b[31mmd5x,\x1b]0;pwned\x07\n1,2\n",
        ("md5,\u202e\n" + MD5 + "\n").encode(),
    ],
)
def test_what_a_list_says_does_not_act_on_the_terminal(tmp_path: Path, content: bytes):
    for format in ("vics", "csv"):
        with pytest.raises(FeedError) as caught:
            read(tmp_path / "list", content, format)
        assert str(caught.value).isprintable()


def test_a_lone_surrogate_is_an_error_or_replaced_and_never_reaches_the_index(tmp_path: Path):
    with pytest.raises(FeedFormatError, match=r"value\[0\]\.MediaID: here the JSON is cut short or broken"):
        read(tmp_path / "l", f'{{"value":[{{"MD5":"{MD5}","MediaID":"\\udc00"}}]}}'.encode())
    [entry] = read(tmp_path / "l", f'{{"value":[{{"MD5":"{MD5}","MediaID":"\\ud800"}}]}}'.encode())
    assert entry.id.encode("utf-8")
