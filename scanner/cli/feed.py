"""`hostsweep feed`: the hash lists."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scanner.app.formats import check_file_name, formats_told
from scanner.app.importing import opened_list
from scanner.app.status import feed_status, unconfigured_feeds
from scanner.app.trusting import signature_of
from scanner.cli import feed_suppress
from scanner.cli.context import Context, pass_context
from scanner.cli.feed_publish import command as publish
from scanner.cli.feed_rehearsal import tell
from scanner.cli.feed_serve import command as serve
from scanner.cli.output import console, print_json, table, time_text
from scanner.cli.paths import PATH
from scanner.model.errors import ConfigError, FeedError
from scanner.model.names import display
from scanner.model.times import with_times

if TYPE_CHECKING:
    from scanner.app import App

_WAIT = 300.0  # seconds for a service that is syncing the feed at the moment


@click.group("feed")
def command() -> None:
    """Hash lists: where they come from, how old they are, what they hold."""


command.add_command(feed_suppress.command)


def _row(feed: dict[str, Any]) -> tuple[object, ...]:
    entries, success = f"{feed['entries']:,}", time_text(feed["last_success_ns"])
    if not feed["configured"]:
        return (feed["name"], "not configured", feed["format"] or "", entries, "", success, "not in use")
    error = feed["last_error"] or ""
    if feed["overdue"]:
        error = f"overdue; {error}" if error else "overdue"
    signed = "signed" if feed["signed"] else "unsigned"
    return (feed["name"], feed["polarity"], feed["format"], entries, signed, success, error)


@command.command("list")
@click.option("--formats", is_flag=True, help="Which formats and protocols there are, instead.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@pass_context
def list_feeds(context: Context, formats: bool, as_json: bool) -> int:
    """List the configured feeds and how they are, and lists of former ones that are still kept."""
    if formats:
        _print_formats(as_json)
        return 0
    app = context.app()
    feeds = [feed_status(app, name) for name in app.feed_names] + unconfigured_feeds(app)
    if as_json:
        for feed in feeds:
            print_json(with_times(feed))
    elif feeds:
        rows = [_row(feed) for feed in feeds]
        columns = ("feed", "polarity", "format", ">entries", "", "last success", "error")
        console().print(table("", columns, rows))
    else:
        click.echo("No feeds are configured.", err=True)
    return 0 if feeds else 1


def _print_formats(as_json: bool) -> None:
    told = formats_told()
    if as_json:
        for each in told:
            print_json(each)
        return
    rows = [_format_row(each) for each in told if each["type"] == "format"]
    columns = ("format", "what it is", "polarity", "kinds", "acts by default", "recognised by")
    console().print(table("", columns, rows))
    exchanges = [(e["name"], e["summary"], e["format"]) for e in told if e["type"] == "exchange"]
    if exchanges:
        console().print(table("", ("exchange", "what it is", "format"), exchanges))


def _format_row(told: dict[str, Any]) -> tuple[object, ...]:
    categories = told["default_categories"]
    return (
        told["name"],
        told["summary"],
        "benign only" if told["only_benign"] else "either",
        ", ".join(told["kinds"]) or "any",
        "all but 0 and none" if categories is None else ", ".join(categories),
        told["recognised_by"],
    )


@command.command("show")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True)
@pass_context
def show(context: Context, name: str, as_json: bool) -> int:
    """Show one feed: figures, never a hash."""
    app = context.app()
    feed = feed_status(app, name)
    if as_json:
        print_json(with_times(feed))
        return 0
    shown = {key: value for key, value in feed.items() if value not in (None, {}, [], "")}
    rows = [(key.removesuffix("_ns").replace("_", " "), _plain(key, value)) for key, value in shown.items()]
    console().print(table("", ("", ""), rows))
    return 0


def _plain(key: str, value: object) -> str:
    if isinstance(value, int) and key.endswith("_ns"):
        return time_text(value)
    if isinstance(value, dict):
        return ", ".join(f"{k or 'none'}: {n:,}" for k, n in value.items())
    if isinstance(value, list):
        return ", ".join(_record(each) if isinstance(each, dict) else str(each) for each in value)
    return str(value)


def _record(accepted: dict[str, Any]) -> str:
    """A list that was taken in spite of the guard."""
    found = "; ".join(accepted["findings"])
    return f"{time_text(accepted['at_ns'])} by {accepted['who']}: {found}"


@command.command("sync")
@click.argument("name", required=False)
@click.option("--accept", is_flag=True, help="Take the list of NAME whatever the guard finds; on record.")
@click.option("--dry-run", is_flag=True, help="Say what would change, and change nothing.")
@click.option(
    "--wait",
    type=click.FloatRange(0, 86_400),
    default=_WAIT,
    show_default=True,
    help="Seconds to wait for a service that is syncing it at the moment.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@pass_context
def sync(context: Context, name: str | None, accept: bool, dry_run: bool, wait: float, as_json: bool) -> int:
    """Fetch one feed or all; a list that can't be used leaves the last good one in use."""
    if accept and not name:
        raise click.UsageError("--accept needs the NAME of a feed: it is a decision about one list.")
    app = context.app(as_owner=False)
    names = (name,) if name else app.feed_names
    if not names:
        click.echo("No feeds are configured.", err=True)
        return 1
    app.take_feeds_in_hand()
    if dry_run:
        return max(asyncio.run(_rehearse(app, each, as_json)) for each in names)
    return max(asyncio.run(_sync(app, each, accept, wait, as_json)) for each in names)


async def _sync(app: App, name: str, accept: bool, wait: float, as_json: bool) -> int:
    try:
        change = await app.sync_feed(name, accept=accept, wait=wait)
    except FeedError as e:
        if as_json:
            print_json({"feed": name, "result": "failed", "error": str(e)})
        else:
            said = str(e)
            click.echo(f"hostsweep: {said if f'feed {name}' in said else f'feed {name}: {said}'}", err=True)
        return 2
    if as_json:
        told: dict[str, Any] = {"feed": name, "result": change.result, "entries": change.entries}
        if change.accepted:
            told["accepted"] = list(change.accepted)
        print_json(told)
        return 0
    click.echo(f"{name}: {change.result.replace('_', ' ')}, {change.entries:,} entries.")
    for finding in change.accepted:
        click.echo(f"  accepted: {finding}.")
    return 0


async def _rehearse(app: App, name: str, as_json: bool) -> int:
    from scanner.app.rehearsing import rehearse

    try:
        rehearsal = await rehearse(app, name)
    except FeedError as e:
        if as_json:
            print_json({"feed": name, "result": "dry_run", "would": "failed", "error": str(e)})
        else:
            said = str(e)
            click.echo(f"hostsweep: {said if f'feed {name}' in said else f'feed {name}: {said}'}", err=True)
        return 2
    return tell(rehearsal, as_json)


@command.command("import")
@click.argument("file", type=PATH)
@click.option("--name", required=True, help="A configured feed; its list is replaced by this one.")
@click.option("--format", "format_name", help="Else as configured.")
@click.option("--accept", is_flag=True, help="Take it whatever the guard finds; on record.")
@click.option("--dry-run", is_flag=True, help="Say what would change, and change nothing.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.option("--signature", "signature_file", type=PATH, help="Its signature; else the one beside FILE.")
@pass_context
def import_list(
    context: Context,
    file: Path,
    name: str,
    format_name: str | None,
    accept: bool,
    dry_run: bool,
    as_json: bool,
    signature_file: Path | None,
) -> int:
    """Import a list from a file by hand (a host without a network)."""
    check_file_name(file.name)
    app = context.app(as_owner=False)
    feed = app.keeper.feed(name)
    if format_name:
        feed = feed.model_copy(update={"format": format_name})
    with opened_list(file) as descriptor:
        signature = signature_of(feed, file, signature_file)
        app.take_feeds_in_hand()
        if dry_run:
            from scanner.app.rehearsing import rehearse_file

            return tell(asyncio.run(rehearse_file(app, feed, file, descriptor, signature)), as_json)
        imported = app.syncing.by_hand.import_file(
            feed, file, descriptor, accept=accept, signature=signature, wait=_WAIT
        )
        change = asyncio.run(imported)
    if as_json:
        print_json({"feed": name, "result": "imported", "entries": change.entries})
        return 0
    click.echo(f"{name}: imported {change.entries:,} entries ({time_text(app.clock.now_ns())}).")
    for finding in change.accepted:
        click.echo(f"  accepted: {finding}.")
    return 0


@command.command("forget")
@click.argument("name")
@click.option("--yes", is_flag=True, help="Really: the lists of NAME are removed. Its cases stay.")
@pass_context
def forget(context: Context, name: str, yes: bool) -> int:
    """Remove the lists of a feed that is not configured any more."""
    if not yes:
        raise click.UsageError(f"This removes the lists kept of {name}; say --yes if that is meant.")
    app = context.app(as_owner=False)
    app.take_feeds_in_hand()
    app.keeper.forget(name)
    click.echo(f"{name}: forgotten. Its cases stay: `hostsweep hits list --orphaned` shows them.")
    return 0


@command.command("benign")
@click.argument("directories", nargs=-1, required=True, type=PATH, metavar="DIR...")
@pass_context
def benign(context: Context, directories: tuple[Path, ...]) -> int:
    """Print a list of the pictures and films below DIR, to be used as a benign feed.

    For packages you trust: WordPress, its themes and plug-ins, and the like, unpacked where no customer
    can write. Exit code 1: there are none; 2: some could not be read, and are not in the list.
    """
    from scanner.app.benign import list_trees

    found = list_trees(directories, [Path(str(v.path)) for v in context.app(as_owner=False).config.volumes])
    for line in found.lines():
        click.echo(line, nl=False)  # bytes go out as they are
    for path, why in found.unread:
        click.echo(f"hostsweep: {display(path)}: {why}", err=True)
    click.echo(f"{len(found.names):,} different files of {found.media:,} pictures and films.", err=True)
    if found.unread:
        return 2
    return 0 if found.names else 1


command.add_command(publish)
command.add_command(serve)


@command.command("reset-trust")
@click.argument("name")
@pass_context
def reset_trust(context: Context, name: str) -> int:
    """Forget the serial and time of the last signed list of NAME, when its publisher has told you why."""
    app = context.app(as_owner=False)
    app.take_feeds_in_hand()
    if not asyncio.run(app.syncing.reset_trust(name, wait=60.0)):
        click.echo(f"{name}: there is nothing to forget.", err=True)
        return 1
    click.echo(f"{name}: forgotten. The next list may have any serial and time; its signature is verified.")
    return 0


@command.command("daemon")
@pass_context
def daemon(context: Context) -> int:
    """Sync all feeds by their schedules until SIGTERM, for sync.by: service. SIGHUP reloads."""
    from scanner.syncer import Syncer

    if context.config_path is None:
        raise ConfigError(
            "the syncing service needs a configuration",
            remedy="Write /etc/hostsweep/config.yaml or name a file with -c; config/example.yaml is a start",
        )
    asyncio.run(Syncer(lambda: context.app(as_owner=False)).run())
    return 0
