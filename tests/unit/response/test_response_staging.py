"""The staging folder is ours alone, or it is not used."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from scanner.model.errors import VaultError
from scanner.response import STAGING_NAME, StagingFolder
from scanner.system.opening import DIRECTORY_FLAGS


@pytest.fixture
def root(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    path = tmp_path / "volume"
    path.mkdir()
    fd = os.open(path, DIRECTORY_FLAGS)
    yield fd, path
    os.close(fd)


def test_it_is_made_private_and_found_again(root: tuple[int, Path]) -> None:
    fd, path = root
    assert StagingFolder.find(fd, b"/srv") is None
    with StagingFolder.open(fd, b"/srv") as first, StagingFolder.open(fd, b"/srv") as again:
        st = (path / STAGING_NAME).stat()
        assert st.st_mode & 0o777 == 0o700
        assert first.identity() == again.identity() == (st.st_dev, st.st_ino)


def as_link(path: Path) -> None:
    (path.parent / "private").mkdir(mode=0o700)
    path.symlink_to(path.parent / "private")


def as_open_folder(path: Path) -> None:
    path.mkdir()
    path.chmod(0o750)


def as_file(path: Path) -> None:
    path.write_bytes(b"mine")


@pytest.mark.parametrize("put", [as_link, as_open_folder, as_file])
def test_something_else_of_its_name_is_refused_with_a_remedy(
    root: tuple[int, Path], put: Callable[[Path], None]
) -> None:
    fd, path = root
    put(path / STAGING_NAME)
    with pytest.raises(VaultError) as e:
        StagingFolder.open(fd, b"/srv")
    assert e.value.remedy
    assert e.value.where == "/srv/" + STAGING_NAME


@pytest.mark.root
def test_a_customers_folder_of_its_name_is_refused(root: tuple[int, Path]) -> None:
    fd, path = root
    (path / STAGING_NAME).mkdir(mode=0o700)
    os.chown(path / STAGING_NAME, 12345, 12345)
    with pytest.raises(VaultError, match="got owner 12345"):
        StagingFolder.open(fd, b"/srv")
