"""`hostsweep brake`: what stops a wrong list from securing half a host."""

from __future__ import annotations

import click

from scanner.cli.context import Context, pass_context
from scanner.cli.output import print_json, time_text


@click.group("brake")
def command() -> None:
    """The brake on securing: engaged when hits exceed what is plausible."""


@command.command("show")
@click.option("--json", "as_json", is_flag=True)
@pass_context
def show(context: Context, as_json: bool) -> int:
    """Say whether the brake is engaged, since when and why. Exit code 1 when it is not."""
    app = context.app()
    with app.ledger(read_only=True) as ledger:
        brake = ledger.brake()
    own = app.vault.brake()
    engaged = brake is not None or (own is not None and own.engaged)
    if as_json:
        securer = None
        if own is not None:
            securer = {"engaged": own.engaged, "reason": own.reason or None, "since_ns": own.since_ns or None}
        print_json(
            {"engaged": brake is not None, "reason": brake.reason if brake else None,
             "since_ns": brake.engaged_ns if brake else None, "securer": securer}
        )  # fmt: skip
        return 0 if engaged else 1
    if brake is not None:
        click.echo(f"The brake is engaged since {time_text(brake.engaged_ns)}: {brake.reason}.")
    if own is not None and own.engaged:
        click.echo(f"The securer's own brake is engaged since {time_text(own.since_ns)}: {own.reason}.")
    if engaged:
        click.echo("Check the list, then `hostsweep brake release`.")
    else:
        click.echo("The brake is not engaged.")
    return 0 if engaged else 1


@command.command("release")
@pass_context
def release(context: Context) -> int:
    """Let securing go on. Do this when the list was checked and the hits are real."""
    app = context.app()
    with app.ledger() as ledger:
        released = ledger.release_brake(app.actor, app.clock.now_ns())
    if not (app.vault.release_brake() or released):
        click.echo("The brake is not engaged.")
        return 1
    click.echo("The brake is released; the next scan secures again.")
    return 0
