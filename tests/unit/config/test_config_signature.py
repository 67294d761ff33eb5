"""Signatures in the configuration: a mistake here must not leave a feed unsigned without a word."""

from __future__ import annotations

from pathlib import Path

import pytest

from scanner.config import Config, check_files, load
from scanner.model.errors import ConfigError

KEY, FINGERPRINT = "RW" + "A" * 54, "A1B2 " * 10


def configured(tmp_path: Path, signature: str, more: str = "") -> Config:
    path = tmp_path / "config.yaml"
    path.write_text(f"feeds: [{{name: a, url: 'https://h.example/l', signature: {{{signature}}}{more}}}]\n")
    path.chmod(0o600)
    return load(path)


@pytest.mark.parametrize(
    "signature,more,wrong",
    [
        (f"keys: [{KEY}]", "", "signature.kind: expected minisign or openpgp"),
        ("require_serial: true", "", "signature.kind: expected"),
        ("kind: gpg", "", "signature.kind"),
        ("kind: minisign", "", "at least one key"),
        (f"kind: minisign, keys: [{KEY[:-1]}]", "", "56 characters"),
        (f"kind: minisign, keys: ['{FINGERPRINT}']", "", "56 characters"),
        (f"kind: openpgp, keys: [{KEY}], key_files: [/k]", "", "fingerprint of 40"),
        ("kind: openpgp, keys: ['24BDA2E38C1B258F'], key_files: [/k]", "", "fingerprint of 40"),
        ("kind: openpgp, key_files: [/k]", "", "fingerprints that count"),
        (f"kind: openpgp, keys: ['{FINGERPRINT}']", "", "needs both"),
        (f"kind: minisign, keys: [{KEY}]", ", exchange: tuf", "only a tree has a signature"),
        (f"kind: minisign, keys: [{KEY}], url: 'file:///s'", "", "both on this machine, or neither"),
    ],
)
def test_what_does_not_fit_together_is_refused(tmp_path: Path, signature: str, more: str, wrong: str) -> None:
    with pytest.raises(ConfigError) as caught:
        configured(tmp_path, signature, more)
    assert wrong in str(caught.value)


def test_what_fits_is_taken(tmp_path: Path) -> None:
    configured(tmp_path, f"kind: minisign, keys: [{KEY}], max_age: 90d")
    configured(tmp_path, f"kind: openpgp, keys: ['{FINGERPRINT}', {'b' * 64}], key_files: [/k]")


def test_a_file_of_keys_that_others_can_change_is_refused(tmp_path: Path) -> None:
    key, identity = tmp_path / "key.pub", tmp_path / "identity"
    more = f", identity_file: {identity}"
    config = configured(tmp_path, f"kind: minisign, key_files: [{key}]", more)
    with pytest.raises(ConfigError) as caught:
        check_files(config)
    assert "signature.key_files[0]: expected a file with public keys" in str(caught.value)
    assert "identity_file: expected a file with age identities" in str(caught.value)
    key.touch()
    identity.touch()
    key.chmod(0o666)
    with pytest.raises(ConfigError, match="others may change this file"):
        check_files(config)
    key.chmod(0o644)
    identity.chmod(0o644)
    assert any("others may read this secret" in warning for warning in check_files(config))
