"""The effective configuration as people may see it: defaults filled in, secrets masked."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit, urlunsplit

import yaml

from scanner.config.models import Config

_MASK = "***"


def effective(config: Config) -> dict[str, Any]:
    """Every key with its value, as JSON-able data; what an address carries besides its place is masked."""
    shown: dict[str, Any] = config.model_dump(mode="json")
    for feed in shown["feeds"]:
        feed["url"] = mask_url(feed["url"])
    return shown


def to_yaml(config: Config) -> str:
    """`effective` as YAML; reads back as the same configuration where nothing had to be masked."""
    return yaml.safe_dump(effective(config), sort_keys=False, allow_unicode=True, width=110)


def mask_url(url: str) -> str:
    """An address without user, password, query and fragment: any of them may be a secret."""
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    return urlunsplit(
        (
            parts.scheme,
            f"{_MASK}@{host}" if user or at else parts.netloc,
            parts.path,
            _MASK if parts.query else "",
            _MASK if parts.fragment else "",
        )
    )
