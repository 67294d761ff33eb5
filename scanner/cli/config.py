"""`hostsweep config`: what is configured."""

from __future__ import annotations

import click

from scanner.cli.context import Context, pass_context
from scanner.cli.output import print_json
from scanner.model.errors import ConfigError


@click.group("config")
def command() -> None:
    """The configuration file."""


@command.command("check")
@pass_context
def check(context: Context) -> int:
    """Validate the configuration and the files it names."""
    if context.config_path is None:
        raise ConfigError("there is no configuration to check", remedy="Name a file with -c")
    app = context.app(as_owner=False)
    for warning in app.check():
        click.echo(f"note: {warning}", err=True)
    click.echo(f"{context.config_path}: in order ({len(app.volumes)} volumes, {len(app.feed_names)} feeds).")
    return 0


@command.command("show")
@click.option("--json", "as_json", is_flag=True)
@pass_context
def show(context: Context, as_json: bool) -> int:
    """Print the effective configuration, secrets masked."""
    from scanner.config import effective, to_yaml

    config = context.app(as_owner=False).config
    if as_json:
        print_json(effective(config))
    else:
        click.echo(to_yaml(config), nl=False)
    return 0
