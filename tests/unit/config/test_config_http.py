"""What the configuration says of the HTTP surface: its token, its socket, who can reach it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from scanner.config import Config, Listen, check_files, load, parse_listen, read_token
from scanner.config.units import Expected
from scanner.model.errors import ConfigError

TOKEN = "0123456789abcdef" * 2


def token(tmp_path: Path, text: str = TOKEN, mode: int = 0o600) -> Path:
    path = tmp_path / "token"
    path.write_text(f"{text}\n")
    path.chmod(mode)
    return path


def configured(tmp_path: Path, text: str) -> Config:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    path.chmod(0o600)
    return load(path)


def test_a_token_is_read_from_a_file_that_only_we_can_read(tmp_path: Path) -> None:
    assert read_token(token(tmp_path)).value == TOKEN


@pytest.mark.parametrize(
    ("text", "mode", "told"),
    [
        (TOKEN, 0o604, "others may read or write the token"),
        (TOKEN, 0o620, "others may read or write the token"),
        (TOKEN[:-1], 0o600, "too short: expected at least 32"),
        ("é" * 32, 0o600, "no HTTP header can carry"),
    ],
)
def test_a_token_that_is_weak_or_open_is_refused_and_never_shown(
    tmp_path: Path, text: str, mode: int, told: str
) -> None:
    with pytest.raises(ConfigError, match=told) as caught:
        read_token(token(tmp_path, text, mode))
    assert text not in str(caught.value)
    with pytest.raises(ConfigError, match=r"config\.yaml:1: http\.token_file"):
        check_files(configured(tmp_path, f"http: {{token_file: {tmp_path}/token}}\n"))


@pytest.mark.root
def test_a_token_that_belongs_to_another_user_is_refused(tmp_path: Path) -> None:
    path = token(tmp_path)
    os.chown(path, 12345, -1)
    with pytest.raises(ConfigError, match="belongs to another user"):
        read_token(path)


def test_other_machines_are_warned_of_with_and_without_a_token(tmp_path: Path) -> None:
    token(tmp_path)
    (open_,) = check_files(configured(tmp_path, "http: {listen: '0.0.0.0:9797'}\n"))
    assert "there is no password" in open_
    text = f"http: {{listen: '0.0.0.0:9797', token_file: {tmp_path}/token}}\n"
    (clear,) = check_files(configured(tmp_path, text))
    assert "unencrypted" in clear
    assert not check_files(configured(tmp_path, "http: {listen: 'unix:/run/x/http.sock'}\n"))


def test_a_socket_reads_back_as_written() -> None:
    listen = parse_listen("unix:/run/hostsweep/http.sock")
    assert listen == Listen("", 0, "/run/hostsweep/http.sock")
    assert str(listen) == "unix:/run/hostsweep/http.sock"
    assert listen.loopback


@pytest.mark.parametrize(
    "value", ["unix:", "unix:x", "unix:/a/../b", "unix:/a//b", "unix:/a/", "unix:/a\nb", f"unix:/{'x' * 107}"]
)
def test_a_socket_that_is_no_plain_absolute_path_is_refused(value: str) -> None:
    with pytest.raises(Expected):
        parse_listen(value)
