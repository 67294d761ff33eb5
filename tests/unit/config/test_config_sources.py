"""What the pages of the sources tell to write into the configuration is valid."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from scanner.config import load

PAGES = sorted(Path(__file__).parents[3].glob("docs/sources/*.md"))
EXAMPLES = [
    pytest.param(example, id=f"{page.stem}-{n}")
    for page in PAGES
    for n, example in enumerate(re.findall(r"(?ms)^```yaml\n(feeds:.*?)^```", page.read_text()))
]


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_of_a_source_is_a_valid_configuration(example: str, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(example)
    assert load(path, environ={"CREDENTIALS_DIRECTORY": "/run/credentials/x"}).feeds
