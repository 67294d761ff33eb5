"""A kernel without a layer of the workers' sandbox: a warning, or an error where it is required."""

from __future__ import annotations

from pathlib import Path

import pytest

from scanner.app import App, app, diagnosis
from scanner.app.state import StateDirectory
from scanner.config import Config
from scanner.config.models import Hashing
from scanner.hashing import expected_layers, sandbox
from scanner.model.errors import ConfigError
from scanner.system import landlock, seccomp


def make(tmp_path: Path, **hashing: object) -> App:
    config = Config(hashing=Hashing.model_validate(hashing))
    return App(config, StateDirectory(tmp_path / "state", tmp_path / "state" / "quarantine"))


def test_kernel_without_a_layer_is_a_warning_at_start_and_an_error_where_it_is_required(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "absent_layers", lambda: ("landlock",))
    assert any("landlock" in warning for warning in make(tmp_path).check())
    with pytest.raises(ConfigError, match="landlock"):
        make(tmp_path, sandbox="required").check()
    monkeypatch.setattr(app, "absent_layers", lambda: ())
    assert not any("sandbox" in warning for warning in make(tmp_path, sandbox="required").check())


def test_doctor_names_the_layers_that_are_on_and_those_that_are_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = diagnosis._workers(make(tmp_path))
    on = {"no_new_privs", "limits", "no_capabilities"}
    assert all(layer in found.text for layer in on)
    monkeypatch.setattr(diagnosis, "missing_layers", lambda layers: ("seccomp",))
    found = diagnosis._workers(make(tmp_path))
    assert found.ok is None and "missing here: seccomp" in found.text


def test_layers_are_expected_by_what_the_process_may_do_and_absent_by_what_the_kernel_can(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert expected_layers(root=True) - expected_layers(root=False) == {"user"}
    monkeypatch.setattr(landlock, "abi", lambda: 0)
    monkeypatch.setattr(seccomp, "available", lambda: False)
    assert sandbox.absent_layers() == ("landlock", "seccomp")
    assert not landlock.restrict()
    assert not seccomp.install(())
