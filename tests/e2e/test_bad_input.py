"""Bad input gets one clear sentence, exit code 2, and loses nothing."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest
from e2e_host import Host, picture

GOOD_VICS = {
    "@odata.context": "http://github.com/VICSDATAMODEL/ProjectVic/DataModels/2.0.xml/Default/$metadata#Media",
    "value": [{"MediaID": n, "Category": 1, "MD5": f"{n:032x}"} for n in range(1, 40)],
}


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("malformed.txt", "ab" * 16 + "\nnot a hash\n", ":2"),
        ("wrong-length.txt", "ab" * 16 + "\n" + "ab" * 15 + "\n", ":2"),
        ("ambiguous.txt", "ab" * 32 + "\n", "sha256"),
        ("empty.txt", "", "empty"),
        ("only-comments.txt", "# nothing\n", ""),
        ("truncated.json", json.dumps(GOOD_VICS)[:1500], "value["),
        ("unknown.bin", "\x00\x01\x02" * 50, "format"),
        ("row.csv", "md5,category\n" + "ab" * 16 + ",1\nzz,1\n", ":3"),
        ("no-columns.csv", "a,b,c\n1,2,3\n", "columns:"),
    ],
)
def test_a_list_that_cannot_be_used_says_where_and_what_to_do(
    host: Host, name: str, text: str, said: str
) -> None:
    kept = host.save("a.jpg", picture(1))
    outcome = host.scan("--feed", host.list_of(text, name), "--quarantine")
    assert outcome.code == 2
    assert "Traceback" not in outcome.err
    assert name in outcome.err and said.lower() in outcome.err.lower().replace("line ", ":")
    assert kept.exists()


@pytest.mark.parametrize(
    ("yaml", "said"),
    [
        ("volumess: []\n", "volumes"),
        ("brake: {max_hit: 3}\n", "max_hits"),
        ("http: {listen: nonsense}\n", "listen"),
        ("volumes: [\n", "config.yaml"),
    ],
)
def test_a_wrong_configuration_names_file_key_and_what_was_expected(host: Host, yaml: str, said: str) -> None:
    config = host.base / "config.yaml"
    config.write_text(yaml)
    outcome = host.run("config", "check", config=config)
    assert outcome.code == 2 and "config.yaml" in outcome.err and said in outcome.err
    assert "Traceback" not in outcome.err


def test_a_missing_path_list_or_configuration_is_named(host: Host) -> None:
    feed = host.list_of("ab" * 16 + "\n")
    for args in (
        ("scan", "/nowhere/at/all", "--feed", feed),
        ("scan", str(host.tree), "--feed", "/no/list.txt"),
    ):
        outcome = host.run(*args)
        assert outcome.code == 2 and ("/nowhere/at/all" in outcome.err or "/no/list.txt" in outcome.err)
    assert host.run("config", "check", config=Path("/no/config.yaml")).code == 2


def test_a_state_directory_that_cannot_be_used_is_named(host: Host) -> None:
    (host.base / "state").write_text("a file stands here")
    outcome = host.scan("--feed", host.list_of("ab" * 16 + "\n"))
    assert outcome.code == 2 and str(host.state) in outcome.err and "Traceback" not in outcome.err


def test_a_port_that_is_taken_is_named(host: Host) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        config = host.base / "config.yaml"
        config.write_text(f"http: {{listen: '127.0.0.1:{port}'}}\n")
        outcome = host.run("daemon", config=config)
    assert outcome.code == 2 and str(port) in outcome.err and "taken" in outcome.err


def test_an_id_that_is_not_there_is_exit_code_1(host: Host) -> None:
    assert host.run("hits", "show", "abcdef012345").code == 1
    assert host.run("quarantine", "show", "abcdef012345").code == 1
