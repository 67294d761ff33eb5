"""Looking a vault over: what is damaged, missing or left over. Reads only."""

from __future__ import annotations

import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from scanner.response.items import Item, ItemState


class Holder(Protocol):
    """What of the vault is needed to check it."""

    def holds(self, item: Item) -> bool: ...

    def find(self, item_id: str) -> Item | None: ...

    def object_path(self, item: Item) -> Path: ...


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is not as it should be.

    Attributes:
        kind: manifest, missing, damaged, mode (others have rights), orphan (an object no manifest names) or
            unfinished (being written just now, or left by a process that died).
        where: the file in the vault.
        text: what is wrong with it.
    """

    kind: str
    where: Path
    text: str


@dataclass(frozen=True, slots=True)
class VaultReport:
    """What a check found.

    Attributes:
        items: items whose content should be here.
        objects: different contents that were hashed.
        bytes: their size together.
        problems: empty if all is well.
    """

    items: int
    objects: int
    bytes: int
    problems: tuple[Problem, ...]

    @property
    def sound(self) -> bool:
        """Whether every item can be given back; leftovers don't count against it."""
        return all(p.kind in ("orphan", "unfinished") for p in self.problems)


def check_vault(
    vault: Holder,
    items: Sequence[Item],
    damaged: Sequence[tuple[Path, str]],
    present: Sequence[Path],
    unfinished: Sequence[Path],
) -> VaultReport:
    """Hash every object once and compare with every manifest.

    Args:
        items: all sound manifests.
        damaged: the others, and why.
        present: files where objects lie.
        unfinished: files still being written.

    Raises:
        VaultError: an object can't be read.
    """
    problems = [Problem("manifest", path, text) for path, text in damaged]
    held = [i for i in items if i.state is not ItemState.PURGED]
    by_object: dict[Path, list[Item]] = {}
    for item in held:
        by_object.setdefault(vault.object_path(item), []).append(item)
    for path, owners in by_object.items():
        problems += _check_object(vault, path, owners)
    named = {vault.object_path(i) for i in items}
    problems += [
        Problem("orphan", p, "no manifest names it") for p in present if p not in named and p.exists()
    ]
    problems += [Problem("unfinished", p, "was not finished") for p in unfinished if p.exists()]
    return VaultReport(len(held), len(by_object), sum(o[0].size for o in by_object.values()), tuple(problems))


def _check_object(vault: Holder, path: Path, owners: Sequence[Item]) -> list[Problem]:
    first = owners[0]
    try:
        st = path.lstat()
    except FileNotFoundError:
        now = vault.find(first.id)
        if now is not None and now.state is ItemState.PURGED:  # while we were hashing others
            return []
        return [Problem("missing", path, "the object is not there")]
    problems = []
    if not stat.S_ISREG(st.st_mode) or stat.S_IMODE(st.st_mode) & 0o077:
        problems.append(Problem("mode", path, f"expected mode 0600, got {stat.S_IMODE(st.st_mode):04o}"))
    # One SHA-256 stands for all items of an object; their other digests were computed from the same bytes.
    if not vault.holds(first):
        problems.append(Problem("damaged", path, "the content is not what its manifest says"))
    return problems
