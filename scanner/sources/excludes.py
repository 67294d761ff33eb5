"""Glob patterns for what is left out of a walk, compiled once to one regular expression.

| pattern | leaves out |
|---|---|
| `*.iso` | files and directories of that name, at any depth |
| `cache/` | directories of that name, at any depth |
| `a/*/c` | what matches at the end of a path, at any depth |
| `/a/b` | only from the volume's root |
| `/srv/www/a/b` | the same, where the volume is /srv/www |
| `**/cache/**` | everything below any directory `cache`, which is therefore not entered |

`*` and `?` stand for characters of one name, `**` as a whole component for any number of directories,
`[a-z]` and `[!a-z]` for one character. Names that are not UTF-8 are matched byte by byte there.

Customers choose the names and the depth of what is matched, so the expressions can't backtrack: each
piece between two wildcards is as long as what it matches, so the first place where it fits is as good
as any other (an atomic group), and a match costs the length of the path times that of the pattern.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from scanner.model.errors import ConfigError

_DIRECTORIES = "(?:[^/]+/)*"


@dataclass(frozen=True, slots=True)
class Excludes:
    """Compiled patterns.

    Attributes:
        files: whether a pattern can match anything but a directory; if not, files needn't be asked for.
    """

    files: bool
    _regex: re.Pattern[str] = field(repr=False)

    def directory(self, path: bytes) -> bool:
        """Whether a directory (path below the root, b"" is the root) is left out with all below it."""
        text = path.decode("utf-8", "surrogateescape")
        return self._regex.fullmatch(text + "/" if text else "") is not None

    def among(self, directory: bytes, names: Iterable[bytes]) -> Iterator[bool]:
        """For each name of a file in a directory, whether it is left out."""
        prefix = directory + b"/" if directory else b""
        fullmatch = self._regex.fullmatch
        return (fullmatch((prefix + name).decode("utf-8", "surrogateescape")) is not None for name in names)


def compile_excludes(patterns: Iterable[str], root: bytes = b"") -> Excludes | None:
    """Compile patterns for the volume at `root`.

    Returns:
        None without patterns.

    Raises:
        ConfigError: a pattern is empty or has a range like [z-a].
    """
    base = root.decode("utf-8", "surrogateescape").rstrip("/")
    translated = [_translate(pattern, base) for pattern in patterns]
    if not translated:
        return None
    files = any(not directories_only for _, directories_only in translated)
    return Excludes(files, re.compile("|".join(f"(?:{regex})" for regex, _ in translated)))


def _translate(pattern: str, base: str) -> tuple[str, bool]:
    """The expression of one pattern, and whether it matches directories only.

    The subject of a directory ends in a slash, that of a file doesn't, that of the root is empty.
    """
    if not pattern:
        raise ConfigError("an exclude pattern is empty", remedy="Remove it")
    parts, anchored, directories_only = _components(pattern, base)
    if not parts:
        return "", True
    groups: list[list[str]] = [[]]
    for part in parts:
        if part == "**":
            groups.append([])
        else:
            groups[-1].append(part)
    if not anchored:
        groups.insert(0, [])
    head, *rest = ["/".join(_component(part, pattern) for part in group) for group in groups]
    ending = "/" if directories_only else "/?"
    if not rest:
        return head + ending, directories_only
    *middle, last = rest
    regex = head + "/" if head else ""
    regex += "".join(f"(?>{_DIRECTORIES}?{group}/)" for group in middle if group)
    return f"{regex}{_DIRECTORIES}{last}{ending}", directories_only


def _components(pattern: str, base: str) -> tuple[list[str], bool, bool]:
    """Components, whether they begin at the root, whether only directories are meant."""
    anchored = pattern.startswith("/")
    if anchored and (pattern + "/").startswith(base + "/"):
        pattern = pattern[len(base) :]
    directories_only = pattern.endswith("/")
    parts = [part for part in pattern.split("/") if part]
    if parts and parts[-1] == "**" and directories_only:
        parts.append("*")  # "a/**/": any directory below a, at any depth
    while parts and parts[-1] == "**":
        parts.pop()  # all below a directory: the directory is not entered
        directories_only = True
    return parts, anchored or not parts, directories_only


def _component(part: str, pattern: str) -> str:
    """One component: every piece but the one after the last `*` is matched where it first fits."""
    pieces = [""]
    for token in _tokens(part, pattern):
        if token == "*":
            pieces.append("")
        else:
            pieces[-1] += token
    head, *rest = pieces
    if not rest:
        return head
    *middle, last = rest
    regex = head + "".join(f"(?>[^/]*?{piece})" for piece in middle if piece)
    return f"(?=[^/]){regex}[^/]*{last}"


def _tokens(part: str, pattern: str) -> Iterator[str]:
    at = 0
    while at < len(part):
        character = part[at]
        at += 1
        if character == "*":
            yield "*"
        elif character == "?":
            yield "[^/]"
        elif character == "[" and (end := part.find("]", _class_body(part, at) + 1)) >= 0:
            yield _class(part[at:end], pattern)
            at = end + 1
        else:
            yield re.escape(character)


def _class_body(part: str, at: int) -> int:
    """Where the members of a class begin; the first one may be a `]`."""
    return at + 1 if part[at : at + 1] in ("!", "^") else at


def _class(body: str, pattern: str) -> str:
    negated = body[0] in "!^"
    members = body[1:] if negated else body
    regex, at = "", 0
    while at < len(members):
        first = members[at]
        if at + 2 < len(members) and members[at + 1] == "-":
            last = members[at + 2]
            if last < first:
                raise ConfigError(f"the range {first}-{last} is the wrong way round", where=pattern)
            regex += f"{re.escape(first)}-{re.escape(last)}"
            at += 3
        else:
            regex += re.escape(first)
            at += 1
    # A range like [!-z] has the slash in it, which separates components and is never part of one.
    return f"(?:(?!/)[{'^' if negated else ''}{regex}])"
