"""Paths on the command line."""

from __future__ import annotations

from pathlib import Path

import click

# Whether one can be read is seen when it is opened: click asks access(2), which forgets CAP_DAC_READ_SEARCH.
PATH = click.Path(path_type=Path, readable=False)
