"""From a file to a configuration, or to one error that says everything that is wrong with it."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from scanner.config.document import MAX_BYTES, Document, SyntaxProblem, parse
from scanner.config.models import Config, Origin
from scanner.config.problems import Problem, error_of, from_validation
from scanner.config.reading import read_regular
from scanner.config.rules import broken_rules
from scanner.model.errors import ConfigError

_CREDENTIALS, _FEEDS_CREDENTIALS = "CREDENTIALS_DIRECTORY", "/run/credentials/hostsweep-feeds.service"


def load(path: Path, *, environ: Mapping[str, str] | None = None, kinds: Collection[str] = ()) -> Config:
    """Read and validate a configuration file. Looks at nothing else on disk; `check_files` does.

    Args:
        path: the YAML file.
        environ: for ``${NAME}`` in `*_file` values; by default the process's.
        kinds: perceptual hash kinds that plug-ins add.

    Raises:
        ConfigError: with the file, the line, the key, what was expected and what was found.
    """
    raw = _read(path)
    file = str(path)
    try:
        document = parse(raw)
    except SyntaxProblem as e:
        where = ":".join([file, *(str(n) for n in (e.line, e.column) if n)])
        raise ConfigError(e.what, where=where, remedy="See config/example.yaml for the form") from None
    return _validated(file, document, os.environ if environ is None else environ, tuple(kinds))


def _read(path: Path) -> bytes:
    try:
        return read_regular(path, MAX_BYTES + 1)[0]
    except FileNotFoundError:
        remedy = "Write one, config/example.yaml is a start, or name another with -c"
        raise ConfigError("there is no such file", where=str(path), remedy=remedy) from None
    except OSError as e:
        remedy = "Expected a YAML file that the user hostsweep runs as may read"
        raise ConfigError(f"it can't be read ({e.strerror})", where=str(path), remedy=remedy) from None


def _validated(file: str, document: Document, environ: Mapping[str, str], kinds: tuple[str, ...]) -> Config:
    origin = Origin(file, document.lines)
    if not isinstance(document.data, dict):
        found = "nothing" if document.data is None else "something else"
        text = f"expected keys and values such as 'volumes:' at the top, found {found}"
        raise error_of(origin, [Problem((), text)])
    context = {"environ": _with_credentials(document.data, environ), "kinds": kinds}
    try:
        config = Config.model_validate(document.data, context=context)
    except ValidationError as e:
        raise error_of(origin, from_validation(e)) from None
    problems = broken_rules(config)
    if problems:
        raise error_of(origin, problems)
    config._origin = origin
    return config


def _with_credentials(data: dict[str, Any], environ: Mapping[str, str]) -> Mapping[str, str]:
    """Where a service of its own syncs, the secrets of feeds are that service's: everybody else who reads the
    file has no such directory of his own, and never looks into it. systemd.exec(5) says where it is."""
    sync = data.get("sync")
    if isinstance(sync, dict) and sync.get("by") == "service":
        return {_CREDENTIALS: _FEEDS_CREDENTIALS, **environ}
    return environ
