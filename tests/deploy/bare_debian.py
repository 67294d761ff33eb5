"""A bare Debian in a folder, with and without hostsweep: what the service and the image are tried on.

Made with the mirror and the package index that this machine itself is set up with; nothing of them is written
anywhere. Kept in a cache between runs, each thing under the digest of what it was made from.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
PROGRAM = "/opt/hostsweep"  # the virtual environment inside, as docs/deployment.md installs it

UNITS = (
    "hostsweep.service",
    "hostsweep-feeds.service",
    "hostsweep-securer.service",
    "hostsweep-securer.socket",
)

# systemd and its bus; kill for the unit's ExecReload; Python for hostsweep.
_PACKAGES = "systemd,systemd-sysv,dbus,procps,python3,python3-venv"
_TOOLS = ("debootstrap", "unshare", "nsenter", "apt-get", "chroot")
_PINS = ("constraints.txt", "constraints-build.txt")
_SOURCES = ("pyproject.toml", "README.md", "LICENSE", *_PINS, "scanner")


class CannotRun(Exception):
    """This machine can't do it; the message says what is missing."""


def require(*tools: str) -> None:
    """Check that this can be tried here at all.

    Raises:
        CannotRun: not root, or a tool is missing.
    """
    if os.geteuid() != 0:
        raise CannotRun("needs root: it makes a Debian in a folder and boots it in namespaces")
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if missing:
        raise CannotRun(f"missing on this machine: {', '.join(missing)}")


def run(*command: str | Path, **options: object) -> str:
    """Run a command; its output is shown only if it fails."""
    done = subprocess.run(
        [str(part) for part in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **options,  # type: ignore[call-overload]
    )
    if done.returncode:
        raise AssertionError(
            f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout[-4000:]}"
        )
    return str(done.stdout)


class Workshop:
    """Makes the folders, or takes them from the cache.

    Raises:
        CannotRun: by any method, if this machine lacks something.
    """

    def __init__(self, cache: Path) -> None:
        require(*_TOOLS)
        cache.mkdir(mode=0o700, parents=True, exist_ok=True)
        st = cache.stat()
        if st.st_uid != 0 or st.st_mode & 0o022:
            raise CannotRun(f"{cache} must belong to root alone: programs in it are run as root")
        self.cache = cache
        # One run at a time: a second one waits here, and would remove the machine of the first otherwise.
        self._lock = (cache / "lock").open("w")
        fcntl.flock(self._lock, fcntl.LOCK_EX)

    def bare(self) -> Path:
        """The Debian (or Ubuntu) of this machine's release, with systemd and Python, without hostsweep."""
        suite, mirror = _mirror()

        def make(target: Path) -> None:
            run("debootstrap", "--variant=minbase", f"--include={_PACKAGES}", suite, target, mirror)
            run("chroot", target, "apt-get", "clean")

        return self._made(f"bare-{suite}", [_PACKAGES], make)

    def wheels(self) -> Path:
        """What hostsweep depends on, as files: downloaded as this machine's pip is set up to."""
        bare = self.bare()
        version = run(
            "chroot", bare, "python3", "-c", "import sys; print('%d.%d' % sys.version_info[:2])"
        ).strip()
        pins = [CHECKOUT / name for name in _PINS]

        def make(target: Path) -> None:
            pip = [sys.executable, "-m", "pip", "download", "--quiet", "--only-binary=:all:"]
            pip += ["--python-version", version, "--dest", str(target)]
            run(*pip, "--require-hashes", *(part for path in pins for part in ("-r", path)))

        return self._made("wheels", [version, *(path.read_text() for path in pins)], make)

    def with_dependencies(self) -> Path:
        """The bare one with a virtual environment in which everything is but hostsweep."""
        bare, wheels = self.bare(), self.wheels()

        def make(target: Path) -> None:
            copy_tree(bare, target)
            pip = f"{PROGRAM}/bin/pip"
            run("chroot", target, "python3", "-m", "venv", PROGRAM)
            run("cp", "-a", wheels, target / "wheels")
            offline = ("install", "--quiet", "--no-index", "--find-links=/wheels")
            pinned = [part for name in _PINS for part in ("-r", _within(target, name))]
            run("chroot", target, pip, *offline, "--require-hashes", *pinned)
            shutil.rmtree(target / "wheels")

        return self._made("ready", [bare.name, wheels.name], make)

    @contextmanager
    def machine(self) -> Iterator[Path]:
        """A folder with hostsweep installed as docs/deployment.md says; removed at the end."""
        target = self.cache / "machine"
        shutil.rmtree(target, ignore_errors=True)  # left by a run that was killed
        try:
            copy_tree(self.with_dependencies(), target)
            copy_sources(target / "src")
            install = (f"{PROGRAM}/bin/pip", "install", "--quiet", "--no-index", "--no-build-isolation")
            run("chroot", target, *install, "--no-deps", "/src")
            shutil.rmtree(target / "src")
            (target / "usr/local/bin/hostsweep").symlink_to(f"{PROGRAM}/bin/hostsweep")
            for unit in UNITS:
                shutil.copy(CHECKOUT / "systemd" / unit, target / "etc/systemd/system/")
            sysusers = target / "usr/lib/sysusers.d"
            sysusers.mkdir(parents=True, exist_ok=True)
            shutil.copy(CHECKOUT / "systemd/hostsweep.sysusers.conf", sysusers / "hostsweep.conf")
            run("chroot", target, "systemd-sysusers")
            tmpfiles = target / "usr/lib/tmpfiles.d/hostsweep.conf"
            shutil.copy(CHECKOUT / "systemd/hostsweep.tmpfiles.conf", tmpfiles)
            yield target
        finally:
            shutil.rmtree(target, ignore_errors=True)

    def _made(self, name: str, made_from: Iterable[str], make: Callable[[Path], None]) -> Path:
        """Take it from the cache, or make it aside and give it its name when it is whole."""
        digest = hashlib.sha256("\0".join(made_from).encode()).hexdigest()[:12]
        done, half = self.cache / f"{name}-{digest}", self.cache / f"{name}.half"
        if not done.exists():
            shutil.rmtree(half, ignore_errors=True)
            half.mkdir(mode=0o755)
            make(half)
            for old in self.cache.glob(f"{name}-*"):
                shutil.rmtree(old)
            half.rename(done)
        return done


def copy_tree(source: Path, target: Path) -> None:
    """Copy a whole tree as root, sharing blocks where the file system can."""
    target.mkdir(mode=0o755, parents=True, exist_ok=True)
    run("cp", "-a", "--reflink=auto", f"{source}/.", target)


def copy_sources(target: Path) -> None:
    """Copy what is installed, so that a build leaves nothing in the checkout."""
    target.mkdir(parents=True)
    for name in _SOURCES:
        source = CHECKOUT / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.exists():  # what a build can't do without, it says itself
            shutil.copy(source, target)


def _within(root: Path, name: str) -> str:
    """Copy a file of the checkout into a folder; returns its path there."""
    shutil.copy(CHECKOUT / name, root / "wheels")
    return f"/wheels/{name}"


def _mirror() -> tuple[str, str]:
    """This machine's release, and where its own apt gets it from.

    Raises:
        CannotRun: apt doesn't know it.
    """
    release = (
        dict(line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line)
        .get("VERSION_CODENAME", "")
        .strip('"')
    )
    targets = run(
        "apt-get", "indextargets", "--format", "$(RELEASE) $(COMPONENT) $(SITE)", "Created-By: Packages"
    )
    for line in targets.splitlines():
        suite, component, site = line.split(" ", 2)
        if (suite, component) == (release, "main"):
            return suite, site
    raise CannotRun(f"this machine's apt has no source for {release or 'its release'}: run apt-get update")
