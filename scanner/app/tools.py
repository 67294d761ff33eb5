"""What every scan is built from."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from scanner.app.state import StateDirectory
from scanner.config import Config
from scanner.hashing import extra_formats
from scanner.model.ports import Clock, Ids
from scanner.pipeline.stalling import Stuck
from scanner.securer import Keeper
from scanner.system.inhand import InHand
from scanner.system.locking import Owners


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


_MADE = "2"  # goes up whenever the same kinds and views come to be computed otherwise


def profile(config: Config) -> bytes:
    """What is done with a file, as a short value: rows of the catalog made otherwise are not believed."""
    hashing = config.hashing
    perceptual = [*sorted(hashing.perceptual), "/", *sorted(hashing.views), "/", *extra_formats()]
    said = "|".join([_MADE, hashing.select, *sorted(hashing.exact), "/", *perceptual])
    return hashlib.blake2b(said.encode(), digest_size=8).digest()
