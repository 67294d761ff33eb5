"""Builds the source archive and the wheel of the last commit, byte for byte the same wherever it is done.

    .venv-tools/bin/python tools/package.py [--output dist]

What could differ is taken out: only committed files are built, from a copy; their modes and times, our umask,
time zone and language are set; the archive is packed anew in order, and the wheel is built from that. The
time is the commit's, or SOURCE_DATE_EPOCH. The tools are pinned in constraints-tools.txt.
"""

from __future__ import annotations

import argparse
import gzip
import io
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]


def git(*arguments: str) -> bytes:
    # The clone may belong to somebody else than who builds (root in CI): nothing of it is executed.
    command = ["git", "-c", "safe.directory=*", "-C", str(ROOT), *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout


def epoch() -> int:
    """Seconds since 1970 that everything is dated."""
    return int(os.environ.get("SOURCE_DATE_EPOCH") or git("log", "-1", "--format=%ct"))


def normalised(member: tarfile.TarInfo, when: int) -> tarfile.TarInfo:
    member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
    member.mtime = when
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.pax_headers = {}
    return member


def unpack(archive: bytes, folder: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        tar.extractall(folder, filter="data")


def build(kind: str, source: Path, out: Path, when: int) -> Path:
    """One artefact of a source folder, by the tools that are installed and no others."""
    command = [
        sys.executable,
        "-m",
        "build",
        "--no-isolation",
        f"--{kind}",
        "--outdir",
        str(out),
        str(source),
    ]
    settled = {"SOURCE_DATE_EPOCH": str(when), "TZ": "UTC", "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "0"}
    done = subprocess.run(
        command, env=os.environ | settled, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if done.returncode:
        sys.exit(f"building the {kind} failed:\n{done.stdout}")
    (made,) = out.iterdir()
    return made


def repack(archive: Path, when: int) -> bytes:
    """A source archive in one order, with one owner, time and set of modes."""
    out = io.BytesIO()
    with (
        tarfile.open(archive) as old,
        gzip.GzipFile(filename="", fileobj=out, mode="wb", mtime=when) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as new,
    ):
        for member in sorted(old.getmembers(), key=lambda m: m.name):
            content = old.extractfile(member) if member.isfile() else None
            new.addfile(normalised(member, when), content)
    return out.getvalue()


def package(output: Path) -> list[Path]:
    os.umask(0o022)
    when = epoch()
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory)
        folders = [work / name for name in ("committed", "sdist", "unpacked", "wheel")]
        for folder in folders:
            folder.mkdir()
        committed, sdist_out, unpacked, wheel_out = folders
        unpack(git("archive", "--format=tar", "HEAD"), committed)
        raw = build("sdist", committed, sdist_out, when)
        sdist = output / raw.name
        sdist.write_bytes(repack(raw, when))
        unpack(sdist.read_bytes(), unpacked)
        (source,) = unpacked.iterdir()
        built = build("wheel", source, wheel_out, when)
        wheel = output / built.name
        wheel.write_bytes(built.read_bytes())
    return [sdist, wheel]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=ROOT / "dist")
    for made in package(parser.parse_args().output):
        print(made)


if __name__ == "__main__":
    main()
