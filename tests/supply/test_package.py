"""What is released: the same bytes wherever it is built, with all that it needs and nothing else."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = ROOT / ".venv-tools" / "bin" / "python"


def committed(folder: Path) -> Path:
    """A clone, so that the folder differs and nothing uncommitted is there."""
    command = ["git", "-c", "safe.directory=*", "clone", "--quiet", "--no-hardlinks", str(ROOT), str(folder)]
    subprocess.run(command, check=True)
    return folder


def packaged(source: Path, output: Path, umask: int, **env: str) -> dict[str, bytes]:
    subprocess.run(
        [TOOLS, "tools/package.py", "--output", output],
        cwd=source,
        env=os.environ | env,
        check=True,
        umask=umask,
        stdout=subprocess.DEVNULL,
    )
    return {path.name: path.read_bytes() for path in output.iterdir()}


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The artefacts of a clone."""
    base = tmp_path_factory.mktemp("here")
    packaged(committed(base / "clone"), base / "dist", 0o022, TZ="UTC")
    return base / "dist"


def test_two_builds_in_different_places_are_the_same_bytes(here: Path, tmp_path: Path) -> None:
    elsewhere = committed(tmp_path / "a deeper" / "place")
    for path in elsewhere.rglob("*"):
        if ".git" not in path.parts and path.is_file():
            os.utime(path, (1, 1))
    (elsewhere / "scanner" / "forgotten.py").write_text("left lying about, never committed\n")
    other = packaged(elsewhere, tmp_path / "dist", 0o077, TZ="Asia/Tokyo", LC_ALL="C", PYTHONHASHSEED="7")
    assert other == {path.name: path.read_bytes() for path in here.iterdir()}
    assert len(other) == 2


def test_the_wheel_has_what_it_needs_and_nothing_else(here: Path) -> None:
    (wheel,) = here.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        metadata = archive.read(next(n for n in names if n.endswith("/METADATA"))).decode()
        modes = {info.external_attr >> 16 & 0o777 for info in archive.infolist()}
    listed = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "scanner"],
        cwd=ROOT,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout.split()
    assert {n for n in names if ".dist-info/" not in n and not n.endswith(".so")} == set(listed)
    extensions = {n for n in names if n.endswith(".so")}
    names_of_extensions = ("sources/_listing", "catalog/_chunks", "index/_near")
    built = {f"scanner/{name}.abi3.so" for name in names_of_extensions}
    assert extensions == (built if shutil.which("gcc") else set())
    assert "scanner/py.typed" in names and any(n.endswith(".sql") for n in names)
    assert any(n.endswith(".dist-info/licenses/LICENSE") for n in names)
    assert "License-Expression: Apache-2.0" in metadata
    assert modes <= {0o644, 0o755, 0o664}


def test_the_source_archive_builds_and_has_no_tests_or_demo(here: Path) -> None:
    (sdist,) = here.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = [member.name.split("/", 1)[1] for member in archive.getmembers() if "/" in member.name]
        assert {m.uid for m in archive.getmembers()} == {0}
    assert {"pyproject.toml", "LICENSE", "README.md", "scanner/py.typed"} <= set(names)
    assert not [n for n in names if n.split("/")[0] in ("tests", "demo", "tools", "docs", ".ci")]


def test_the_installed_wheel_runs(here: Path, tmp_path: Path) -> None:
    """Unpacked, with the dependencies of this environment: it must not need anything of the clone."""
    (wheel,) = here.glob("*.whl")
    shutil.unpack_archive(wheel, tmp_path / "site", "zip")
    python = ROOT / ".venv" / "bin" / "python"
    code = "import scanner, sys; from scanner.cli.main import run; sys.argv = ['hostsweep', '--help']; run()"
    done = subprocess.run(
        [python, "-c", f"import sys; sys.path.insert(0, {str(tmp_path / 'site')!r}); {code}"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert "Usage: hostsweep" in done.stdout
