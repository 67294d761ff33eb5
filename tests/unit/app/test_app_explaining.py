"""Explaining a path as far as the rights of whoever asks go, and saying what is missing."""

from __future__ import annotations

import os
import pickle
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from scanner.app import App
from scanner.app.explaining import Answer, Explanation, explain, look
from scanner.app.placing import places
from scanner.app.state import StateDirectory
from scanner.config import Config, VolumeConfig
from scanner.pipeline.volume import Volume
from tests.scanning import app_of

CUSTOMER = 54321


@pytest.fixture
def open_path() -> Iterator[Path]:
    """A directory that every user can reach, which those of pytest are not."""
    with tempfile.TemporaryDirectory() as made:
        os.chmod(made, 0o755)
        yield Path(made)


def as_customer(ask: Callable[[], Explanation]) -> Explanation:
    """Ask in a child that gives up all rights; its answer comes back through a pipe."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setresgid(CUSTOMER, CUSTOMER, CUSTOMER)
            os.setresuid(CUSTOMER, CUSTOMER, CUSTOMER)
            os.write(writer, pickle.dumps(ask()))
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as f:
        told = f.read()
    os.waitpid(pid, 0)
    found = pickle.loads(told)
    assert isinstance(found, Explanation)
    return found


@pytest.mark.root
async def test_a_user_without_rights_hears_what_the_walk_does_and_that_the_rest_is_not_known(
    open_path: Path,
) -> None:
    app = app_of(open_path, ())
    volume = open_path / "www"
    (volume / "open.txt").write_text("text")
    (volume / "closed").mkdir(mode=0o700)
    (volume / "closed" / "a.txt").write_text("text")
    volume.chmod(0o755)
    app.state.prepare()
    assert as_customer(lambda: explain(app, look(app, b"/nowhere"))).volumes == ()

    def ask(path: Path) -> Explanation:
        return as_customer(lambda: explain(app, look(app, os.fsencode(path))))

    found = ask(volume / "open.txt")
    assert [v.answer for v in found.volumes] == [Answer.UNKNOWN]
    assert "ask as root" in found.records and not found.looked_at
    found = ask(volume / "closed" / "a.txt")
    (each,) = found.volumes
    assert (each.answer, each.at, each.reason) == (
        Answer.REFUSED,
        os.fsencode(volume / "closed"),
        "permission",
    )
    # Root hears all of it.
    found = explain(app, look(app, os.fsencode(volume / "closed" / "a.txt")))
    assert [v.answer for v in found.volumes] == [Answer.DUE]
    assert "no record of any scan" in found.records


def test_a_path_is_found_by_the_root_a_link_to_it_and_as_it_is_shown(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "srv").symlink_to("data")
    config = Config(volumes=(VolumeConfig(name="web", path=tmp_path / "srv"),))
    volume = Volume("web", os.fsencode(tmp_path / "data"), shown_as=b"/host/www")
    inner = Volume("inner", os.fsencode(tmp_path / "data" / "a"))
    for path in (tmp_path / "data", tmp_path / "srv", Path("/host/www")):
        (place,) = places(os.fsencode(path / "b" / "c"), (volume, inner), config)
        assert (place.volume.name, place.path, place.shown) == ("web", b"b/c", b"/host/www/b/c")
    both = places(os.fsencode(tmp_path / "data" / "a" / "b"), (volume, inner), config)
    assert [(p.volume.name, p.path) for p in both] == [("web", b"a/b"), ("inner", b"b")]
    assert places(os.fsencode(tmp_path / "database"), (volume,), config) == []
    everything = Volume("all", b"/")
    assert [p.path for p in places(b"/x/y", (everything,), Config())] == [b"x/y"]


def test_a_volume_that_is_not_there_is_told_and_is_no_answer_about_the_file(tmp_path: Path) -> None:
    config = Config(volumes=(VolumeConfig(name="web", path=tmp_path / "www"),))
    app = App(config, StateDirectory(tmp_path / "state", tmp_path / "state" / "quarantine"))
    (each,) = explain(app, look(app, os.fsencode(tmp_path / "www" / "a"))).volumes
    assert (each.answer, each.reason) == (Answer.FAILED, "there is no such directory")


async def test_a_link_that_leads_in_circles_is_only_a_link(tmp_path: Path) -> None:
    app = app_of(tmp_path, ())
    (tmp_path / "www" / "one").symlink_to("two")
    (tmp_path / "www" / "two").symlink_to("one")
    found = explain(app, look(app, os.fsencode(tmp_path / "www" / "one")))
    assert [(v.answer, v.reason) for v in found.volumes] == [(Answer.NO_FILE, "symlink")]
    assert found.leads_to is None
