"""What every scan is built from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from scanner.app.state import StateDirectory
from scanner.config import Config
from scanner.hashing import extra_formats
from scanner.model.ports import Clock, Ids
from scanner.model.profiles import profile_of
from scanner.pipeline.stalling import Stuck
from scanner.system.inhand import InHand
from scanner.system.locking import Owners

if TYPE_CHECKING:
    from scanner.securer import Keeper


@dataclass(frozen=True, slots=True)
class Tools:
    """Handed in, never looked up."""

    config: Config
    state: StateDirectory
    clock: Clock
    ids: Ids
    owners: Owners
    vault: Keeper
    actor: str
    stuck: Stuck
    in_hand: InHand


# Goes up whenever the same kinds and views come to be computed otherwise.
_MADE = "2"


def profile(config: Config) -> bytes:
    """What is done with a file: what the catalog knows of files that were chosen or hashed otherwise is not
    believed, and files that lack a kind are read again."""
    hashing = config.hashing
    ground = "|".join([_MADE, hashing.select, *extra_formats()])
    views = [f"view:{view}" for view in hashing.views]
    return profile_of(ground, (*hashing.exact, *hashing.perceptual, *views))
