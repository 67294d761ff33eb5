"""What is tried here takes root, tools and minutes: only `make test-deploy`, or naming it, runs it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from bare_debian import CannotRun, Workshop
from booted import Machine

_HERE = Path(__file__).parent
_CACHE = Path(os.environ.get("DEPLOY_CACHE", "/var/tmp/hostsweep-deploy"))


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave these tests out of a run that doesn't name them."""
    named = [Path(str(arg).partition("::")[0]).resolve() for arg in config.invocation_params.args]
    return None if any(path == _HERE or _HERE in path.parents for path in named) else True


@pytest.fixture(scope="session")
def workshop() -> Workshop:
    try:
        made = Workshop(_CACHE)
        made.bare()
    except CannotRun as e:
        pytest.skip(str(e))
    return made


@pytest.fixture(scope="session")
def machine(workshop: Workshop) -> Iterator[Machine]:
    """A booted Debian with hostsweep installed and its unit in place, not started."""
    with workshop.machine() as root:
        booted = Machine(root)
        try:
            yield booted
        finally:
            booted.close()
