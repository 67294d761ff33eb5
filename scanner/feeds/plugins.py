"""What installed packages bring, beside ours: formats of lists, protocols of publishers."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Protocol, TypeVar

from scanner.model.errors import ConfigError


class Named(Protocol):
    @property
    def name(self) -> str: ...


T = TypeVar("T", bound=Named)


def with_plugins(ours: Mapping[str, T], group: str, what: str) -> Mapping[str, T]:
    """Ours and those of installed packages, by name.

    Args:
        group: of entry points.
        what: what each of them is, for errors.

    Raises:
        ConfigError: one can't be loaded, or takes a name that is in use.
    """
    found = dict(ours)
    for point in entry_points(group=group):
        try:
            loaded = point.load()
            added: T = loaded() if isinstance(loaded, type) else loaded
            name = added.name
        except Exception as e:  # a package of somebody else's: anything may come out of it
            raise ConfigError(
                f"the {what} '{point.name}' can't be loaded ({type(e).__name__}: {e})",
                where=f"entry point {point.value}",
                remedy="Mend or remove the package that brings it",
            ) from e
        if name in found:
            raise ConfigError(
                f"the {what} '{name}' exists already",
                where=f"entry point {point.value}",
                remedy="Remove the package that brings it, or have it renamed",
            )
        found[name] = added
    return found
