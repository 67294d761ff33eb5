"""Exclude patterns, one meaning a line."""

from __future__ import annotations

import pytest

from scanner.model.errors import ConfigError
from scanner.sources import compile_excludes


@pytest.mark.parametrize(
    ("pattern", "path", "left_out"),
    [
        ("**/cache/**", b"a/cache", True),
        ("**/cache/**", b"cache", True),
        ("**/cache/**", b"a/cached", False),
        ("*.iso", b"a/b.iso", True),
        ("*.iso", b"b.iso.d", False),
        ("tmp/", b"a/tmp", True),
        ("/tmp", b"tmp", True),
        ("/tmp", b"a/tmp", False),
        ("/srv/www/a/tmp", b"a/tmp", True),
        ("/srv/www", b"", True),
        ("/srv/wwwdata", b"srv/wwwdata", True),
        ("a/**/b", b"a/b", True),
        ("a/**/b", b"x/a/1/2/b", True),
        ("a/*/b", b"a/b", False),
        ("a/*", b"a", False),
        ("?", "é".encode(), True),
        ("[!a-c]x", b"dx", True),
        ("[]]x", b"]x", True),
        ("[x", b"[x", True),
        ("a\nb", b"a\nb", True),
        ("**", b"", True),
        ("*", b"", False),
    ],
)
def test_a_directory_matches(pattern: str, path: bytes, left_out: bool) -> None:
    excludes = compile_excludes([pattern], b"/srv/www/")
    assert excludes is not None
    assert excludes.directory(path) is left_out


@pytest.mark.parametrize("pattern", ["tmp/", "**/tmp/**", "**"])
def test_a_pattern_for_directories_never_takes_a_file(pattern: str) -> None:
    excludes = compile_excludes([pattern])
    assert excludes is not None
    assert not excludes.files
    assert list(excludes.among(b"", [b"tmp"])) == [False]


def test_files_match_by_their_path() -> None:
    excludes = compile_excludes(["/a/*.log", "core"])
    assert excludes is not None
    assert excludes.files
    assert list(excludes.among(b"a", [b"x.log", b"core", b"x.jpg"])) == [True, True, False]
    assert list(excludes.among(b"b", [b"x.log"])) == [False]


def test_no_patterns_leave_nothing_out() -> None:
    assert compile_excludes([]) is None


@pytest.mark.parametrize("pattern", ["", "[z-a]"])
def test_a_pattern_without_meaning_is_refused(pattern: str) -> None:
    with pytest.raises(ConfigError):
        compile_excludes([pattern])
