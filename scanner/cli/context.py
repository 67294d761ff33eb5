"""What every verb starts from: the common options, made into a configuration and a state directory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from scanner.app import App

DEFAULT_CONFIG = Path("/etc/hostsweep/config.yaml")


@dataclass(frozen=True, slots=True)
class Context:
    """The options before the verb."""

    config: Path | None
    state_dir: Path | None
    log_format: str
    verbose: int
    quiet: bool

    @property
    def config_path(self) -> Path | None:
        """The configuration file to read: the one named, else the standard one if it is there."""
        if self.config is not None:
            return self.config
        return DEFAULT_CONFIG if DEFAULT_CONFIG.exists() else None

    def app(self, *, as_owner: bool = True) -> App:
        """Build the app after setting up the log.

        With a separate securer, a root shell becomes the owner of the state directory here.

        Args:
            as_owner: False for verbs that write where root said, and touch no state before `become_owner`.

        Raises:
            ConfigError: the configuration can't be used.
        """
        from scanner.app import App
        from scanner.observability import configure_logging

        configure_logging(log_format=self.log_format, verbosity=-1 if self.quiet else self.verbose)
        app = App.from_files(self.config_path, self.state_dir)
        if as_owner:
            app.become_owner()
        return app


pass_context = click.make_pass_decorator(Context)
