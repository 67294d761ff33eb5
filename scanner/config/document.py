"""YAML text to plain data, with the line of every value.

Stricter than YAML: no aliases (a few lines of them unfold to gigabytes), no duplicate keys, no tags, no
numbers that aren't decimal (``010`` would be 8), no dates.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from scanner.config.models import Place

MAX_BYTES = 1 << 20  # thousands of volumes; a configuration beyond that is something else
_MAX_DEPTH = 16  # the deepest key is at 4; recursion stays bounded
_TIMESTAMP, _INT = "tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:int"
_MAP, _SEQ = "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"


@dataclass(frozen=True, slots=True)
class Document:
    """Plain data (dict, tuple, str, int, float, bool, None), and the line of each place in it."""

    data: object
    lines: Mapping[Place, int]


class SyntaxProblem(ValueError):
    """The text is no YAML that is accepted here; `line` and `column` count from 1, 0 where unknown."""

    def __init__(self, what: str, line: int = 0, column: int = 0) -> None:
        super().__init__(what)
        self.what = what
        self.line = line
        self.column = column


class _Loader(yaml.SafeLoader):
    """Composes nodes of one document; refuses aliases and deep nesting while it reads, not after."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML's own way to configure a loader
        first: [(tag, pattern) for tag, pattern in resolvers if tag != _TIMESTAMP]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event: yaml.Event = self.peek_event()  # type: ignore[no-untyped-call]  # the stubs leave it out
        if isinstance(event, yaml.AliasEvent):
            raise _problem("aliases (*name) are not accepted here: write the value out", event.start_mark)
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise _problem("this is nested too deeply", event.start_mark)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


def parse(raw: bytes) -> Document:
    """Read a document.

    Raises:
        SyntaxProblem: it is not UTF-8, not YAML, or uses what is not accepted here.
    """
    if len(raw) > MAX_BYTES:
        raise SyntaxProblem(f"this is too large for a configuration (more than {MAX_BYTES >> 20} MiB)")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as e:
        raise SyntaxProblem("this is not UTF-8 text", raw.count(b"\n", 0, e.start) + 1) from None
    lines: dict[Place, int] = {}
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        data = _value(loader, node, (), lines) if node is not None else None
    except yaml.MarkedYAMLError as e:
        mark = e.problem_mark or e.context_mark
        what = ": ".join(part for part in (e.context, e.problem) if part)
        raise SyntaxProblem(what, mark.line + 1 if mark else 0, mark.column + 1 if mark else 0) from None
    except yaml.reader.ReaderError as e:
        line = text.count("\n", 0, e.position) + 1
        raise SyntaxProblem("there is a control character that YAML doesn't allow", line) from None
    return Document(data, lines)


def _value(loader: _Loader, node: yaml.Node, place: Place, lines: dict[Place, int]) -> object:
    lines.setdefault(place, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode) and node.tag == _MAP:
        return {key: _value(loader, below, (*place, key), lines) for key, below in _items(node, place, lines)}
    if isinstance(node, yaml.SequenceNode) and node.tag == _SEQ:
        return tuple(_value(loader, below, (*place, n), lines) for n, below in enumerate(node.value))
    if isinstance(node, yaml.ScalarNode):
        return _scalar(loader, node)
    raise _problem("tags (!name) are not accepted here", node.start_mark)


def _items(node: yaml.MappingNode, place: Place, lines: dict[Place, int]) -> Iterator[tuple[str, yaml.Node]]:
    seen: dict[str, int] = {}
    for key, below in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise _problem("a key must be plain text", key.start_mark)
        line = key.start_mark.line + 1
        if key.value in seen:
            raise _problem(f"the key stands here twice, first on line {seen[key.value]}", key.start_mark)
        seen[key.value] = lines[(*place, key.value)] = line
        yield key.value, below


def _scalar(loader: _Loader, node: yaml.ScalarNode) -> object:
    try:
        value: object = loader.construct_object(node)
    except ValueError:  # thousands of digits, a malformed number under a tag
        raise _problem("this value can't be read", node.start_mark) from None
    if node.tag == _INT and str(value) != node.value:
        raise _problem("write a number in plain decimal digits, or quote it", node.start_mark)
    if not isinstance(value, str | int | float | None):
        raise _problem("tags (!name) are not accepted here", node.start_mark)
    return value


def _problem(what: str, mark: Any) -> yaml.MarkedYAMLError:
    # Any: PyYAML has two classes of marks, by whether its C part is there.
    return yaml.MarkedYAMLError(problem=what, problem_mark=mark)
