"""The README's promises: its session prints what it shows, its configuration is valid, its verbs exist."""

from __future__ import annotations

import hashlib
import re
import shlex
from pathlib import Path

from e2e_host import COMMAND, Host, picture

from scanner.config import load

README = Path(__file__).resolve().parents[2] / "README.md"


def _session() -> list[tuple[str, list[str]]]:
    """Commands of the pasted session with the lines that each shows."""
    block = re.search(r"```console\n(.*?)```", README.read_text(), re.DOTALL)
    assert block
    steps: list[tuple[str, list[str]]] = []
    for line in block.group(1).splitlines():
        if line.startswith("$ "):
            steps.append((line[2:], []))
        else:
            steps[-1][1].append(line)
    return steps


def _plain(text: str, base: Path) -> str:
    text = text.replace(f"{base}/", "").replace(f"{base.resolve()}/", "")
    return re.sub(r"\s+", " ", re.sub(r"\b[0-9a-f]{20}\b", "ID", text)).strip()


def test_the_pasted_session_prints_what_it_shows(host: Host) -> None:
    listed = host.save("alice/holiday.jpg", picture(1))
    host.save("bob/cat.png", picture(2))
    (host.tree / "bob" / "index.html").write_text("<html>")
    host.list_of(hashlib.sha256(listed.read_bytes()).hexdigest() + "  x\n")
    host.until_old()
    case = ""
    for typed, shown in _session():
        args = [case if re.fullmatch(r"[0-9a-f]{20}", a) else a for a in shlex.split(typed)[1:]]
        args = [str(host.base / a) if a in ("www", "list.txt") else a for a in args]
        outcome = host.run(*args)
        printed = [_plain(line, host.base) for line in outcome.out.splitlines()]
        for line in shown:
            wanted = _plain(line, host.base)
            assert any(p.startswith(wanted) for p in printed), (typed, line, outcome.out, outcome.err)
        found = re.search(r"case ([0-9a-f]{20})", outcome.out)
        case = found.group(1) if found else case


def test_the_configuration_in_the_readme_is_valid(tmp_path: Path) -> None:
    block = re.search(r"```yaml\n(.*?)```", README.read_text(), re.DOTALL)
    assert block
    (tmp_path / "config.yaml").write_text(block.group(1))
    config = load(tmp_path / "config.yaml")
    assert config.volumes[0].name == "web" and config.feeds[0].categories == ("1", "2")


def test_every_document_that_is_linked_is_there() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README.read_text()):
        assert (README.parent / target).exists(), target


def test_the_exit_codes_of_readme_and_help_are_the_same(host: Host) -> None:
    told = host.run("scan", "--help").out
    table = re.findall(r"^\| (\d+) \|", README.read_text(), re.MULTILINE)
    assert table == ["0", "1", "2", "3", "130"] and all(re.search(rf"\b{code}\b", told) for code in table)


def test_the_readme_stays_short_and_the_command_is_installed() -> None:
    assert len(README.read_text().splitlines()) < 200
    assert Path(COMMAND).exists()
