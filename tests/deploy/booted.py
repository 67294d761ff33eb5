"""A folder with a Debian in it, booted: its systemd is the real one, in namespaces of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from bare_debian import run

T = TypeVar("T")

_BOOT = Path(__file__).with_name("boot.sh")
_BOOT_SECONDS = 30.0  # measured: 1
_LOOK_AGAIN = 0.05


def until(what: str, look: Callable[[], T], seconds: float, explain: Callable[[], str] = str) -> T:
    """Look until there is something; what happens on another machine can only be asked for.

    Raises:
        AssertionError: it did not come about in time; with `explain`'s words.
    """
    end = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {seconds:.0f} s\n{explain()}")
        time.sleep(_LOOK_AGAIN)


def _name(pid: str) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""  # ended meanwhile


class Machine:
    """A booted folder. To be closed."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._group = f"hostsweep-deploy-{os.getpid()}"
        self._boot = subprocess.Popen([_BOOT, root, self._group], stdin=subprocess.DEVNULL)
        try:
            self._init = until("its first process", self._find_init, _BOOT_SECONDS)
            until("booted", self._is_up, _BOOT_SECONDS)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Power off: its first process dies with the one that started it, and all others with that."""
        self._boot.kill()
        self._boot.wait()
        until("its control group is empty", self._clean, 10.0)

    def _clean(self) -> bool:
        return subprocess.run([_BOOT, "--clean", self._group], capture_output=True).returncode == 0

    def _find_init(self) -> str:
        if self._boot.poll() is not None:
            raise AssertionError(f"{_BOOT.name} ended with {self._boot.returncode}")
        children = Path(f"/proc/{self._boot.pid}/task/{self._boot.pid}/children").read_text().split()
        # Before it, what the script runs to make ready.
        named = [pid for pid in children if _name(pid) == "systemd"]
        return named[0] if named else ""

    def _is_up(self) -> bool:
        return self.try_("systemctl", "is-system-running").stdout.strip() in ("running", "degraded")

    def path(self, inside: str) -> Path:
        """Where a file of the machine's disk (not /run, /tmp, /proc) is for us."""
        return self.root / inside.lstrip("/")

    def try_(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command in it as root from a shell, whatever becomes of it."""
        return subprocess.run(self._inside(command), capture_output=True, text=True, timeout=120)

    def run(self, *command: str) -> str:
        """Run a command in it; it must succeed."""
        return run(*self._inside(command), timeout=120)

    def show(self, unit: str, name: str) -> str:
        """A property of a unit."""
        return self.run("systemctl", "show", "--value", "--property", name, unit).strip()

    def now(self) -> str:
        """A place in the journal: its end."""
        return (
            self.run("journalctl", "--quiet", "--lines=0", "--show-cursor")
            .strip()
            .removeprefix("-- cursor: ")
        )

    def log(self, unit: str, since: str) -> str:
        """What a unit has said since a place in the journal."""
        return self.run("journalctl", "--quiet", "--output=cat", f"--unit={unit}", f"--after-cursor={since}")

    def remove(self, inside: str) -> None:
        shutil.rmtree(self.path(inside), ignore_errors=True)

    def _inside(self, command: tuple[str, ...]) -> list[str]:
        enter = ["nsenter", "--target", self._init, "--pid", "--mount", "--uts", "--ipc", "--cgroup", "--net"]
        clean = ["env", "-i", "PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8"]
        return [*enter, "--root", "--wd=/", *clean, *command]
