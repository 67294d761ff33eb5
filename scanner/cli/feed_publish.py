"""`hostsweep feed publish`: a list as files that any web server can hand out."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import click

from scanner.cli.context import Context, pass_context
from scanner.cli.output import print_json
from scanner.cli.paths import PATH

if TYPE_CHECKING:
    from scanner.app import App
    from scanner.feeds.tree.writing import Published
    from scanner.feeds.trust.signing import KeyPair


@click.command("publish")
@click.option("--from", "source", required=True, help="A configured feed, or a file with a list.")
@click.option("--to", "target", type=PATH, required=True, help="The directory that a web server hands out.")
@click.option("--name", help="What the list is called; else the feed's name, or the file's.")
@click.option("--format", "format_name", help="Of a file; else told by its content.")
@click.option("--key", "key_file", type=PATH, help="Sign with this secret key of minisign's.")
@click.option("--new-key", is_flag=True, help="Make that key if it isn't there; its public part beside it.")
@click.option("--json", "as_json", is_flag=True)
@pass_context
def command(
    context: Context,
    source: str,
    target: Path,
    name: str | None,
    format_name: str | None,
    key_file: Path | None,
    new_key: bool,
    as_json: bool,
) -> int:
    """Publish a list as a tree of files: a snapshot, what changed since, and a notification of both.

    Whoever may read the directory gets the list in the clear: hand it out to members only, over https.
    """
    from scanner.app.signing_keys import signing_key

    app = context.app()
    app.state.prepare()
    key = None if key_file is None else signing_key(key_file, make=new_key)
    published = asyncio.run(_publish(app, source, target, name, format_name, key))
    if as_json:
        print_json(
            {
                "session": published.session,
                "serial": published.serial,
                "entries": published.entries,
                "added": published.added,
                "removed": published.removed,
                "changed": published.changed,
            }
        )
    elif published.changed:
        click.echo(
            f"published serial {published.serial}: {published.entries:,} entries, "
            f"{published.added:,} came and {published.removed:,} went."
        )
    else:
        click.echo(f"nothing changed; serial {published.serial} stays.")
    return 0


async def _publish(
    app: App,
    source: str,
    target: Path,
    name: str | None,
    format_name: str | None,
    key: KeyPair | None,
) -> Published:
    from scanner.app.importing import opened_list

    publisher = app.publisher()
    if source in app.feed_names:
        return await publisher.publish_feed(app.keeper.feed(source), target, key, name=name)
    path = Path(source)
    feed = app.keeper.of_file(name or path.name.split(".", 1)[0] or "list", format_name or "auto")
    with opened_list(path) as descriptor:
        return await publisher.publish_list(feed, path, descriptor, target, key)
