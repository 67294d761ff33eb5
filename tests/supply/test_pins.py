"""What is installed is pinned, wholly and in agreement, and is really used. Nothing is fetched here."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tomllib
from importlib.metadata import distributions, packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = ROOT / ".venv-tools" / "bin" / "python"
FILES = sorted(ROOT.glob("constraints*.txt"))
PIN = re.compile(r"^([A-Za-z0-9._-]+)(?:\[([a-z0-9,_-]+)\])?==(\S+)", re.MULTILINE)
# Requirements of everything that is installed in a virtual environment, as it says itself.
ASK = (
    "import importlib.metadata as m, json;"
    " print(json.dumps({d.name: d.requires or [] for d in m.distributions()}))"
)


def key(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(path: Path) -> dict[str, tuple[str, frozenset[str]]]:
    """Version and extras by name."""
    found = PIN.findall(path.read_text())
    return {
        key(name): (version, frozenset(filter(None, extras.split(",")))) for name, extras, version in found
    }


def declared() -> dict[str, list[str]]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return {"": project["project"]["dependencies"], **project["project"]["optional-dependencies"]}


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)
def test_every_pin_has_a_digest_and_no_address(path: Path) -> None:
    lines = [line for line in path.read_text().splitlines() if not line.lstrip().startswith("#")]
    requirements = "\n".join(lines).replace("\\\n", " ").splitlines()
    assert requirements
    for requirement in filter(str.strip, requirements):
        marker, digests = r"( ; python_version < \"[0-9.]+\")?", r"( +--hash=sha256:[0-9a-f]{64})+ *"
        assert re.fullmatch(PIN.pattern + marker + digests, requirement)
    assert "://" not in path.read_text()


def test_two_files_never_pin_two_versions() -> None:
    for one in FILES:
        for other in FILES:
            shared = pins(one).keys() & pins(other).keys()
            assert {n: pins(one)[n][0] for n in shared} == {n: pins(other)[n][0] for n in shared}


@pytest.mark.parametrize(
    "path", [ROOT / f"constraints{part}.txt" for part in ("", "-dev", "-tools")], ids=str
)
def test_whatever_is_asked_for_with_an_extra_is_pinned_with_it(path: Path) -> None:
    """For pip `coverage==7` is no pin of `coverage[toml]`: it stops on the day a newer one is released."""
    python = TOOLS if path.name == "constraints-tools.txt" else Path(sys.executable)
    asked = json.loads(subprocess.run([python, "-c", ASK], check=True, stdout=subprocess.PIPE).stdout)
    pinned, missing = pins(path), []
    for name, requirements in asked.items():
        if key(name) not in pinned:
            continue
        for requirement in requirements:
            found = re.match(r"([A-Za-z0-9._-]+)\s*\[([^\]]+)\]", requirement)
            if found is None or not _applies(requirement, pinned[key(name)][1]):
                continue
            wanted = {extra.strip().lower() for extra in found[2].split(",")}
            if key(found[1]) not in pinned or not wanted <= pinned[key(found[1])][1]:
                missing.append(f"{name} asks for {requirement}")
    assert not missing


def _applies(requirement: str, extras: frozenset[str]) -> bool:
    """Whether a requirement counts: one of an extra only where that extra is asked for. Other markers are
    taken to hold, which errs on the safe side."""
    of = re.findall(r"""extra\s*==\s*['"]([^'"]+)['"]""", requirement)
    return not of or bool(set(of) & extras)


def test_every_dependency_at_run_time_is_imported_and_every_import_is_declared() -> None:
    imported = set()
    for path in (ROOT / "scanner").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                imported.add(node.module.split(".")[0])
    of_module = packages_distributions()
    # typing_extensions is only imported while types are checked; compression is Python's own from 3.14 on.
    ours = {"scanner", "typing_extensions", "compression"}
    needed = {key(of_module[m][0]) for m in imported - set(sys.stdlib_module_names) - ours}
    not_then = ("dev", "fuzz", "tools", "quality", "compared")
    at_run_time = [d for extra, of in declared().items() if extra not in not_then for d in of]
    assert needed == {key(re.split(r"[^A-Za-z0-9._-]", d)[0]) for d in at_run_time}


def test_the_review_names_every_dependency_at_run_time_with_the_version_that_is_pinned() -> None:
    text = (ROOT / "docs" / "dependencies.md").read_text()
    reviewed = {
        key(n): v for n, v in re.findall(r"^\| `?([A-Za-z0-9._-]+)`? (\d[\w.]*) \|", text, re.MULTILINE)
    }
    assert reviewed == {name: version for name, (version, _) in pins(ROOT / "constraints.txt").items()}


def test_what_is_installed_here_is_what_is_pinned() -> None:
    pinned = pins(ROOT / "constraints-dev.txt")
    installed = {key(d.name): d.version for d in distributions()}
    assert {n: installed.get(n) for n in pinned} == {n: version for n, (version, _) in pinned.items()}
