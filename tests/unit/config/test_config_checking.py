"""What a configuration names on disk: missing things, secrets that others read, a vault in reach."""

from __future__ import annotations

from pathlib import Path

import pytest

from scanner.config import Config, check_files, load, read_secret, vault_in_reach
from scanner.model.errors import ConfigError


def configured(tmp_path: Path, text: str) -> Config:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    path.chmod(0o600)
    return load(path)


def test_everything_in_its_place_gives_no_warning(tmp_path: Path) -> None:
    (tmp_path / "www").mkdir()
    (tmp_path / "token").write_text("abc\n")
    (tmp_path / "token").chmod(0o600)
    text = (
        f"volumes: [{{name: web, path: {tmp_path}/www}}]\n"
        f"feeds: [{{name: a, url: 'https://h.example/l', bearer_file: {tmp_path}/token}}]\n"
        f"quarantine: {{directory: {tmp_path}/vault}}\n"
    )
    assert check_files(configured(tmp_path, text)) == ()


def test_missing_volumes_secrets_and_users_are_told_with_their_lines(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    text = (
        f"volumes:\n  - {{name: web, path: {tmp_path}/none}}\n  - {{name: f, path: {tmp_path}/file}}\n"
        f"feeds:\n  - name: a\n    url: https://h.example/l\n    bearer_file: {tmp_path}/token\n"
    )
    with pytest.raises(ConfigError) as caught:
        check_files(configured(tmp_path, text))
    told = str(caught.value)
    assert "line 2: volumes[0].path: expected a directory, found none" in told
    assert "line 3: volumes[1].path: expected a directory, found something else" in told
    assert "line 7: feeds[0].bearer_file" in told


@pytest.mark.root
def test_an_unknown_worker_user_is_told(tmp_path: Path) -> None:
    config = configured(tmp_path, "http: {}\nhashing:\n  user: no-such-user-here\n")
    with pytest.raises(ConfigError, match=r"config\.yaml:3: hashing\.user: .*no-such-user-here"):
        check_files(config)


def test_what_works_but_is_not_safe_gives_a_warning(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("S3CRET\n")
    (tmp_path / "token").chmod(0o644)
    config = configured(
        tmp_path,
        f"feeds: [{{name: a, url: 'https://u:p@h.example/l', bearer_file: {tmp_path}/token}}]\n"
        "http: {listen: '0.0.0.0:9797'}\n",
    )
    (tmp_path / "config.yaml").chmod(0o666)
    told = "\n".join(check_files(config))
    for words in ("others may read this secret (mode 0644)", "others may write this file", "0.0.0.0:9797"):
        assert words in told
    assert "its url holds a user or password" in told
    assert "S3CRET" not in told


def test_all_secrets_and_certificates_of_a_feed_are_looked_at(tmp_path: Path) -> None:
    files = ("token", "login", "id", "key", "ca.pem", "client.pem", "client.key")
    (tmp_path / "drop").mkdir()
    text = (
        f"feeds:\n  - name: a\n    url: https://h.example/l\n    header_files: {{X-Key: {tmp_path}/token}}\n"
        f"    ca_file: {tmp_path}/ca.pem\n    certificate_file: {tmp_path}/client.pem\n"
        f"    certificate_key_file: {tmp_path}/client.key\n    proxy: http://p.example\n"
        f"    proxy_basic_file: {tmp_path}/login\n"
        f"  - {{name: b, url: 's3://bucket/key', s3: {{access_key_file: {tmp_path}/id, "
        f"secret_key_file: {tmp_path}/key}}}}\n"
        f"  - {{name: c, url: 'file://{tmp_path}/drop/'}}\n  - {{name: d, url: 'file://{tmp_path}/drop'}}\n"
    )
    with pytest.raises(ConfigError) as caught:
        check_files(configured(tmp_path, text))
    for key in (
        "feeds[0].header_files.X-Key", "feeds[0].ca_file", "feeds[0].certificate_file",
        "feeds[0].certificate_key_file", "feeds[0].proxy_basic_file", "feeds[1].s3.access_key_file",
        "feeds[1].s3.secret_key_file",
    ):  # fmt: skip
        assert f"{key}: " in str(caught.value)
    for name in files:
        (tmp_path / name).write_text("-----BEGIN X-----\n" if "." in name else "S3CRET\n")
        (tmp_path / name).chmod(0o600)
    config = configured(tmp_path, text)
    (told,) = check_files(config)
    assert told == "feed d: its url leads to something else than a file; that of a folder ends with /"
    (tmp_path / "client.key").chmod(0o640)
    (tmp_path / "drop").chmod(0o777)
    told = "\n".join(check_files(config))
    assert "client.key: others may read this key (mode 0640)" in told
    assert "feed c: others may write in its folder" in told
    assert "S3CRET" not in told


def test_a_vault_inside_a_volume_is_refused_unless_a_closed_directory_is_around_it(tmp_path: Path) -> None:
    www, closed = tmp_path / "www", tmp_path / "www" / "state"
    closed.mkdir(parents=True)
    vault = closed / "vault"
    vault.mkdir(mode=0o700)
    closed.chmod(0o755)
    assert "where customers or the web server can reach it" in vault_in_reach(www, vault)
    closed.chmod(0o700)
    assert vault_in_reach(www, vault) == ""
    assert vault_in_reach(www / "state", vault)  # nothing between this root and the vault
    assert vault_in_reach(www / "state" / "none", vault) == ""
    text = f"volumes: [{{name: a, path: {www}}}]\nquarantine:\n  directory: {www}/vault\n"
    with pytest.raises(ConfigError, match=r"yaml:3: quarantine\.directory: the vault"):
        check_files(configured(tmp_path, text))


def test_a_vault_that_a_link_leads_into_a_volume_is_refused(tmp_path: Path) -> None:
    (tmp_path / "www").mkdir()
    (tmp_path / "vault").symlink_to(tmp_path / "www")
    assert vault_in_reach(tmp_path / "www", tmp_path / "vault" / "items")


@pytest.mark.parametrize("content", [b"", b"\n", b"a\nb\n", b"\xff\xfe", b"a\0b", b"a" * 100_000])
def test_a_file_that_holds_no_single_secret_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "token").write_bytes(content)
    with pytest.raises(ConfigError, match="holds no secret"):
        read_secret(tmp_path / "token")


def test_a_secret_is_read_without_its_line_end_and_never_shown(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("user:päss word\r\n")
    (tmp_path / "token").chmod(0o400)
    secret = read_secret(tmp_path / "token")
    assert secret.value == "user:päss word"
    assert secret.warning == ""
    assert "päss" not in repr(secret)


def test_a_securer_needs_its_user_and_a_vault_that_is_not_the_daemons(tmp_path: Path) -> None:
    for directory in ("", "directory: /var/lib/hostsweep/quarantine,"):
        text = f"quarantine: {{{directory} securer: /run/s}}\n"
        with pytest.raises(ConfigError, match=r"quarantine\.directory: with a securer the vault needs"):
            configured(tmp_path, text)
    text = f"quarantine: {{directory: {tmp_path}/v, securer: /run/s, securer_user: nobody-x}}\n"
    config = configured(tmp_path, text)
    with pytest.raises(ConfigError, match=r"quarantine\.securer_user: .*there is no user 'nobody-x'"):
        check_files(config)
