"""`hostsweep securer`: the process that has the vault, run until SIGTERM."""

from __future__ import annotations

import click

from scanner.cli.context import Context, pass_context
from scanner.model.errors import ConfigError


@click.command("securer")
@click.option(
    "--idle-timeout",
    metavar="TIME",
    help="End after so long without a connection, e.g. 10min. For a socket of the service manager's.",
)
@pass_context
def command(context: Context, idle_timeout: str | None) -> int:
    """Secure files for a daemon that has no power to, after checking everything again; until SIGTERM.

    Takes its socket from the service manager, or makes the one that `quarantine.securer` names.
    """
    from scanner.app.securer import run
    from scanner.config import parse_duration
    from scanner.observability import configure_logging

    if context.config_path is None:
        raise ConfigError(
            "the securer needs a configuration",
            remedy="Write /etc/hostsweep/config.yaml or name a file with -c",
        )
    configure_logging(log_format=context.log_format, verbosity=-1 if context.quiet else context.verbose)
    run(context.config_path, idle=parse_duration(idle_timeout) if idle_timeout else None)
    return 0
