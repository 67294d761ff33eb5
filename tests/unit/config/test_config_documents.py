"""The example and the reference page say what the models say: every key, with its default."""

from __future__ import annotations

import re
import typing
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from scanner.config import BandConfig, Config, FeedConfig, VolumeConfig, load
from scanner.config.document import parse

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "config" / "example.yaml"
REFERENCE = ROOT / "docs" / "configuration.md"


def keys(model: type[BaseModel], above: str = "") -> dict[str, Any]:
    """Every key that holds a value, by its place, and its default."""
    found: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        inner = field.annotation
        item = typing.get_args(inner)[0] if typing.get_origin(inner) is tuple else None
        if isinstance(item, type) and issubclass(item, BaseModel):
            found |= keys(item, f"{above}{name}[].")
            if field.get_default():  # one word may stand for the list
                found[above + name] = field.get_default()
        elif isinstance(inner, type) and issubclass(inner, BaseModel):
            found |= keys(inner, f"{above}{name}.")
        else:
            found[above + name] = (
                None if field.is_required() else field.get_default(call_default_factory=True)
            )
    return found


def test_the_example_is_valid_and_says_the_defaults() -> None:
    config = load(EXAMPLE, environ={})
    first_volume, first_feed = config.volumes[0], config.feeds[0]
    assert config == Config(
        volumes=(VolumeConfig(name=first_volume.name, path=first_volume.path),),
        feeds=(FeedConfig(name=first_feed.name, url=first_feed.url),),
    )


def test_the_example_has_every_key() -> None:
    document = parse(uncommented().encode())
    places = {"".join("[]" if isinstance(s, int) else f".{s}" for s in p).lstrip(".") for p in document.lines}
    assert {key for key in keys(Config) if "perceptual[]" not in key} <= places  # told in words there


def test_the_example_is_valid_with_every_optional_key_in_use(tmp_path: Path) -> None:
    # One of the two ways to log in, a list that is signed instead of one by a protocol, and not the
    # keys of s3:// addresses, which this one is not.
    left_out = "basic_file|exchange|options|endpoint|access_key_file|secret_key_file|session_token_file"
    text = re.sub(rf"(?m)^ *({left_out}):.*$", "", uncommented())
    text = text.replace("      keys: []", f"      keys: [RW{'A' * 54}]")
    (tmp_path / "config.yaml").write_text(text)
    load(tmp_path / "config.yaml", environ={"CREDENTIALS_DIRECTORY": "/run/credentials/x"})


def uncommented() -> str:
    """The example with the keys in use that stand behind a `#` without a space."""
    return re.sub(r"(?m)^( *)#(?=[a-z_]+:)", r"\1", EXAMPLE.read_text())


@pytest.mark.parametrize("key", keys(Config))
def test_the_reference_has_every_key_with_its_default(key: str) -> None:
    row = re.search(rf"(?m)^\| `{re.escape(key)}` \| (.+?) \| ", REFERENCE.read_text())
    assert row, f"{key} is missing in docs/configuration.md"
    shown, default = row[1], yaml.safe_load(yaml.safe_dump(Config().model_dump(mode="json")))
    if key.startswith(("volumes[", "feeds[")):
        item = (
            VolumeConfig(name="n", path=Path("/p"))
            if key[0] == "v"
            else FeedConfig(name="n", url="file:///l")
        )
        default = {key.split("[]")[0] + "[]": item.model_dump(mode="json")}
    default["perceptual[]"] = BandConfig(action="report").model_dump(mode="json")
    for step in re.sub(r"^.*(?=perceptual\[\])", "", key).split("."):
        default = default[step]
    if default not in (None, "") and shown != "required":
        assert yaml.safe_load(shown.strip("`")) == default


def test_the_reference_has_no_key_that_is_gone() -> None:
    told = set(re.findall(r"(?m)^\| `([a-z0-9_.\[\]]+)` \| ", REFERENCE.read_text()))
    assert told == set(keys(Config))
