"""The unit file, looked at without running it: valid, no less hardened than it was, and explained."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
UNIT = CHECKOUT / "systemd/hostsweep.service"
DIRECTIVE = r"#?[A-Z]\w+="  # in force, or an example of one

# As measured with systemd 252, on its scale from 0 to 10 (no protection). What is left is what the work
# takes: root, some of its rights, the network for lists, reading home directories. Lower it when the unit
# gets better; a reason to raise it would have to stand here.
EXPOSURE = 2.6

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="needs systemd-analyze (Debian package systemd)"
)


def analyze(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["systemd-analyze", *map(str, command)], capture_output=True, text=True, timeout=60)


@needs_systemd
def test_unit_is_understood_whole(tmp_path: Path) -> None:
    # The programs need not be installed where this runs.
    copy = tmp_path / UNIT.name
    copy.write_text(re.sub(r"^(Exec\w+=)\S+", r"\1/bin/true", UNIT.read_text(), flags=re.MULTILINE))
    done = analyze("verify", copy)
    said = [line for line in (done.stdout + done.stderr).splitlines() if "hostsweep" in line]
    assert said == []


@needs_systemd
def test_unit_is_no_less_hardened_than_before() -> None:
    done = analyze("security", "--offline=yes", "--no-pager", UNIT)
    if "unrecognized option" in done.stderr:
        pytest.skip("this systemd-analyze can't look at a file (--offline, systemd 250)")
    level = re.search(r"exposure level for \S+ (\d+\.\d)", done.stdout)
    assert level is not None, done.stdout + done.stderr
    assert float(level[1]) <= EXPOSURE, done.stdout


def test_every_directive_of_the_unit_is_explained() -> None:
    lines = UNIT.read_text().splitlines()
    bare = [
        line
        for before, line in zip(["", *lines], lines, strict=False)
        if re.match(DIRECTIVE, line) and (not before.startswith("# ") or re.match(DIRECTIVE, before))
    ]
    assert bare == []
    assert sum(bool(re.match(DIRECTIVE, line)) for line in lines) > 40


def test_container_is_given_the_rights_of_the_unit_and_no_others() -> None:
    unit = re.search(r"^CapabilityBoundingSet=(.+)$", UNIT.read_text(), re.MULTILINE)
    documented = re.findall(r"--cap-add[= ](\w+)", (CHECKOUT / "docs/deployment.md").read_text())
    assert unit is not None
    assert {f"CAP_{name}" for name in documented} == set(unit[1].split())
