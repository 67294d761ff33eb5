"""`hostsweep feed suppress`: entries of a list that don't act on this host for a while."""

from __future__ import annotations

import click

from scanner.cli.context import Context, pass_context
from scanner.cli.output import console, print_json, table, time_text
from scanner.model.times import iso


@click.command("suppress")
@click.argument("entry", required=False)
@click.option("--feed", help="The feed that lists it.")
@click.option("--until", help="A duration (90d) or a time (2027-01-31); at most 5 years.")
@click.option("--note", help="Who decided, and why.")
@click.option("--lift", is_flag=True, help="Let ENTRY act again.")
@click.option("--list", "show", is_flag=True, help="Show what is suppressed.")
@click.option("--json", "as_json", is_flag=True, help="With --list: one JSON object a line.")
@pass_context
def command(
    context: Context,
    entry: str | None,
    feed: str | None,
    until: str | None,
    note: str | None,
    lift: bool,
    show: bool,
    as_json: bool,
) -> int:
    """Let ENTRY of a feed not act for a while; the feed's copy stays as it is.

    ENTRY is the id that `hostsweep hits show` names. Files that match it open no case and stay in their
    place; they are matched again when the time is over.
    """
    if show:
        if entry or lift or until:
            raise click.UsageError("--list shows all, and takes no ENTRY.")
        return _show(context, as_json)
    if not entry or not feed or not note or (not until and not lift):
        raise click.UsageError("expected ENTRY, --feed, --note, and --until (or --lift).")
    if lift:
        from scanner.app.decisions import lift as lifted

        lifted(context.app(), feed, entry, note)
        click.echo(f"{feed}: the entry acts again.")
        return 0
    return _suppress(context, entry, feed, str(until), note)


def _suppress(context: Context, entry: str, feed: str, until: str, note: str) -> int:
    from scanner.app.decisions import suppress
    from scanner.app.suppressing import Suppression, parse_until

    app = context.app()
    now = app.clock.now_ns()
    wanted = Suppression(feed, entry, parse_until(until, now), now, app.actor, note)
    made = suppress(app, wanted)
    click.echo(f"{feed}: the entry does not act until {time_text(made.until_ns)}.")
    return 0


def _show(context: Context, as_json: bool) -> int:
    app = context.app()
    now = app.clock.now_ns()
    found = app.keeper.suppressions.active(now)
    if as_json:
        for s in found:
            print_json(
                {
                    "feed": s.feed,
                    "entry": s.entry,
                    "until": iso(s.until_ns),
                    "since": iso(s.since_ns),
                    "who": s.who,
                    "note": s.note,
                }
            )
    elif found:
        rows = [(s.feed, s.entry, time_text(s.until_ns), time_text(s.since_ns), s.who, s.note) for s in found]
        console().print(table("", ("feed", "entry", "until", "since", "by", "note"), rows))
    else:
        click.echo("Nothing is suppressed.", err=True)
    return 0 if found else 1
