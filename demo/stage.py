"""What the demo is told with: headings, plain words, commands really run, and claims that are checked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

__all__ = ["DemoFailed", "Stage"]

# Seconds for any one command; far more than the whole demo takes.
_PATIENCE = 120
# Columns that plain words are set in, however wide the terminal is.
_COLUMNS = 100


class DemoFailed(Exception):
    """A command did not do what it has to; one sentence."""


class Stage:
    """Runs `hostsweep` in the demo's directory, as a person would, and keeps book of what was claimed.

    Args:
        directory: where commands run; its `config.yaml` is used.
    """

    def __init__(self, directory: Path) -> None:
        self._console = Console(highlight=False, markup=False, emoji=False)
        self._console.width = min(self._console.width, _COLUMNS)
        self._directory = directory
        self._step = 0
        self._claims: list[tuple[bool, str]] = []

    # Telling

    def heading(self, text: str) -> None:
        self._step += 1
        self._console.print()
        self._console.print(Text(f"{self._step}. {text}", style="bold cyan"))

    def say(self, text: str) -> None:
        self._console.print(Text(text))

    def show(self, text: str) -> None:
        """Something to be read as it is: a file, a part of one."""
        for line in text.splitlines():
            self._console.print(Text(f"    {line}", style="dim"), soft_wrap=True)

    # Doing

    def run(self, *arguments: str, status: int = 0) -> None:
        """Run `hostsweep` before everybody's eyes: its output goes where ours goes.

        Raises:
            DemoFailed: its exit code is not `status`.
        """
        command = ("hostsweep", "-c", "config.yaml", *arguments)
        said = " ".join(f'"{word}"' if " " in word else word for word in command)
        self._console.print(Text(f"$ {said}", style="bold"), soft_wrap=True)
        sys.stdout.flush()
        done = self._hostsweep(arguments, unseen=False)
        if done.returncode != status:
            raise DemoFailed(f"`{said}` ended with exit code {done.returncode}, expected {status}")

    def ask(self, *arguments: str) -> list[dict[str, Any]]:
        """Run `hostsweep … --json` unseen; returns the objects it printed.

        Raises:
            DemoFailed: it ended with an error.
        """
        done = self._hostsweep((*arguments, "--json"), unseen=True)
        if done.returncode not in (0, 1):
            raise DemoFailed(f"`hostsweep {' '.join(arguments)}` failed: {done.stderr.strip()}")
        return [json.loads(line) for line in done.stdout.splitlines()]

    def _hostsweep(self, arguments: Sequence[str], *, unseen: bool) -> subprocess.CompletedProcess[str]:
        program = Path(sys.executable).with_name("hostsweep")
        try:
            return subprocess.run(
                [program, "-c", "config.yaml", *arguments],
                cwd=self._directory,
                env=_environment(),
                timeout=_PATIENCE,
                capture_output=unseen,
                text=True,
            )
        except OSError as e:
            raise DemoFailed(f"{program} can't be run ({e.strerror}): `make dev` installs it") from e
        except subprocess.TimeoutExpired as e:
            raise DemoFailed(f"`hostsweep {arguments[0]}` did not end within {_PATIENCE} seconds") from e

    # Claims

    def claim(self, text: str, holds: bool) -> None:
        """Note whether something is so; told at the end."""
        self._claims.append((holds, text))

    def tell_claims(self, *, wrong_only: bool = False) -> None:
        """Tell what was claimed so far and whether it held."""
        for held, text in self._claims:
            mark = Text("  ok     ", style="green") if held else Text("  WRONG  ", style="bold red")
            if not (held and wrong_only):
                self._console.print(mark + Text(text), soft_wrap=True)

    def verdict(self) -> bool:
        """Tell every claim and whether it held; returns whether all did."""
        self.tell_claims()
        wrong = sum(not held for held, _ in self._claims)
        self._console.print()
        if wrong:
            self.fail(f"{wrong} of {len(self._claims)} expectations did not hold, see above.")
        else:
            self._console.print(Text(f"All {len(self._claims)} expectations held.", style="bold green"))
        return not wrong

    def fail(self, text: str) -> None:
        """Say why the demo failed."""
        self._console.print(Text(f"The demo failed: {text}", style="bold red"))


def _environment() -> dict[str, str]:
    """Ours, but loopback is never asked for through a proxy."""
    return {**os.environ, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
