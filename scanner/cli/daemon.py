"""`hostsweep daemon`: run until SIGTERM."""

from __future__ import annotations

import asyncio

import click

from scanner.cli.context import Context, pass_context
from scanner.model.errors import ConfigError
from scanner.system import heap, power


@click.command("daemon")
@pass_context
def command(context: Context) -> int:
    """Sync feeds, scan volumes on schedule, secure hits, serve metrics; until SIGTERM. SIGHUP reloads."""
    from scanner.daemon import Daemon

    if context.config_path is None:
        raise ConfigError(
            "the daemon needs a configuration",
            remedy="Write /etc/hostsweep/config.yaml or name a file with -c; config/example.yaml is a start",
        )
    power.not_dumpable()  # it can read every file: nobody of its user looks into it
    heap.prepare()
    asyncio.run(Daemon(context.app).run())
    return 0
