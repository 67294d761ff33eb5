"""`hostsweep feed serve`: hash checks for others, who have no list."""

from __future__ import annotations

import asyncio

import click

from scanner.cli.context import Context, pass_context


@click.command("serve")
@pass_context
def command(context: Context) -> int:
    """Answer hash checks over HTTP from the lists in use, until SIGTERM.

    For those who get no list: by whole hash in the shape of the Dutch service, or by the first bits of a
    keyed one. See `serve` in the configuration.
    """
    from scanner.app.serving import CheckService

    asyncio.run(CheckService(context.app(as_owner=False)).run())
    return 0
