"""Running the installed `hostsweep scan` for a benchmark, and checking that it did the work."""

from __future__ import annotations

import itertools
import json
import shutil
import sys
from pathlib import Path
from typing import Any

from measuring import Memory, Run, Skipped, measure_memory, run
from shares import Shares, measure_shares

_COMMAND = Path(sys.executable).parent / "hostsweep"


class Hostsweep:
    """`hostsweep scan PATH --feed LIST --json` with state directories in which the list is already imported.

    Args:
        work: where states and configurations are put.
        hash_list: what is compared with.
        hashing: the `hashing` section of the configuration, as YAML in one line.
    """

    def __init__(self, work: Path, hash_list: Path, hashing: str = "{}") -> None:
        self._numbers = itertools.count()
        self._folder = work / f"runs-{len(list(work.iterdir()))}"
        self._list = hash_list
        self.empty = self._folder / "empty"
        self.empty.mkdir(parents=True)
        self._config = self._folder / "config.yaml"
        self._config.write_text(f"hashing: {hashing}\n")
        self._state = self._folder / "state"
        self.imported = self.memory(self.empty, self._state)[1]

    def command(self, path: Path, state: Path, *, json: bool = True) -> list[str]:
        options = ["--config", str(self._config), "--state-dir", str(state)]
        told = ["--json"] if json else []
        return [str(_COMMAND), *options, "scan", str(path), "--feed", str(self._list), *told]

    def fresh_state(self) -> Path:
        """A state directory with the imported list and nothing else."""
        state = self._folder / f"state-{next(self._numbers)}"
        shutil.copytree(self._state, state)
        return state

    def first_scan(self, path: Path, files: int) -> Run:
        """A scan of a tree that was never seen: every file is hashed."""
        state = self.fresh_state()
        try:
            return self._checked(run(self.command(path, state), keep=True), "hashed", files)
        finally:
            shutil.rmtree(state)

    def shares(self, path: Path, files: int, *, json: bool = True) -> Shares:
        """A scan of a tree that was never seen, and what each of its processes used; may find something."""
        state = self.fresh_state()
        try:
            shares = measure_shares(self.command(path, state, json=json))
        finally:
            shutil.rmtree(state)
        if json:
            self._checked(shares.done, "hashed", files)
        return shares

    def rescan(self, path: Path, files: int, state: Path) -> Run:
        """A scan of a tree in which nothing has changed: no file is opened."""
        return self._checked(run(self.command(path, state), keep=True), "unchanged", files)

    def memory(self, path: Path, state: Path) -> tuple[dict[str, Any], Memory]:
        """A scan whose memory is watched; returns its summary, too."""
        done, memory = measure_memory(self.command(path, state))
        return _summary(done), memory

    @staticmethod
    def _checked(done: Run, outcome: str, files: int) -> Run:
        summary = _summary(done)
        if summary[outcome] != files or not summary["complete"]:
            raise Skipped(f"{files} files should have been {outcome}, and were not: {summary}")
        return done


def _summary(done: Run) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(done.output.splitlines()[-1])
    return found
