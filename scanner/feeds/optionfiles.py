"""Files that options of a publisher's protocol name: read before the process that speaks it is closed in."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from scanner.model.errors import ConfigError

_SUFFIX = "_file"  # as in all of the configuration: a key that ends so names a file
_MAX_FILE = 1 << 20  # bytes


def option_files(options: Mapping[str, str]) -> dict[str, bytes]:
    """The content of each file, by the option's name; blocking.

    Raises:
        ConfigError: one can't be read, or is too large.
    """
    return {key: _read(key, Path(value)) for key, value in options.items() if key.endswith(_SUFFIX)}


def _read(key: str, path: Path) -> bytes:
    if not path.is_absolute():
        raise ConfigError("expected an absolute path", where=f"options: {key}")
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_FILE + 1)
    except OSError as e:
        raise ConfigError(f"the file can't be read ({e.strerror})", where=f"options: {key}: {path}") from e
    if len(data) > _MAX_FILE:
        raise ConfigError(f"the file has more than {_MAX_FILE} bytes", where=f"options: {key}: {path}")
    return data
