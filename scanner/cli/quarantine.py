"""`hostsweep quarantine`: the vault."""

from __future__ import annotations

from pathlib import Path

import click
from rich.text import Text

from scanner.cli.context import Context, pass_context
from scanner.cli.output import bytes_text, console, print_json, table, time_text
from scanner.cli.paths import PATH
from scanner.model.errors import ConfigError
from scanner.model.matches import CaseState
from scanner.model.names import display, json_fields
from scanner.model.times import iso
from scanner.response import Item


def _place(item: Item) -> bytes:
    return item.root.rstrip(b"/") + b"/" + item.path


def item_json(item: Item) -> dict[str, object]:
    """An item as scripts see it."""
    return {
        "id": item.id,
        "case": item.case_id,
        "state": str(item.state),
        **json_fields(_place(item)),
        "volume": item.volume,
        "size": item.size,
        "secured": iso(item.secured_ns),
        "digests": {kind: value.hex() for kind, value in item.digests.items()},
        **(json_fields(item.restored_to, "restored_to") if item.restored_to is not None else {}),
    }


@click.group("quarantine")
def command() -> None:
    """The vault: what was secured."""


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@pass_context
def list_items(context: Context, as_json: bool) -> int:
    """List the items, newest first."""
    items = sorted(context.app().vault.items(), key=lambda i: i.secured_ns, reverse=True)
    if as_json:
        for item in items:
            print_json(item_json(item))
    elif items:
        rows = [
            (i.id, time_text(i.secured_ns), i.state, bytes_text(i.size), Text(display(_place(i))))
            for i in items
        ]
        console().print(table("", ("item", "secured", "state", ">size", "from"), rows))
    else:
        click.echo("The vault is empty.", err=True)
    return 0 if items else 1


@command.command("show")
@click.argument("item_id", metavar="ID")
@click.option("--json", "as_json", is_flag=True)
@pass_context
def show(context: Context, item_id: str, as_json: bool) -> int:
    """Show what is on record of an item; never its content."""
    item = context.app().vault.get(item_id)
    if as_json:
        print_json(item_json(item))
        return 0
    kept = item.attributes
    rows: list[tuple[object, object]] = [
        ("item", item.id),
        ("case", item.case_id),
        ("state", item.state),
        ("secured", time_text(item.secured_ns)),
        ("from", Text(display(_place(item)))),
        ("size", bytes_text(item.size)),
        ("owner", f"uid {kept.uid}, gid {kept.gid}, mode {kept.mode:04o}"),
        ("modified", time_text(kept.mtime_ns)),
        ("extended attributes", len(kept.xattrs)),
    ]
    rows += [(kind, value.hex()) for kind, value in sorted(item.digests.items())]
    if item.restored_to is not None:
        rows.append(("restored to", Text(display(item.restored_to))))
    console().print(table("", ("", ""), rows))
    return 0


@command.command("restore")
@click.argument("item_id", metavar="ID")
@click.option("--to", type=PATH, help="Another place; never overwrites.")
@pass_context
def restore(context: Context, item_id: str, to: Path | None) -> int:
    """Bring an item back with owner, mode, times and attributes. The vault keeps its copy."""
    from scanner.app import cases  # loaded late: it brings everything that scanning needs

    place = cases.restore(context.app(as_owner=False), item_id, to)
    click.echo(
        f"Restored to {display(place)}. It is secured again at the next scan unless its case is resolved."
    )
    return 0


@command.command("export")
@click.argument("item_id", metavar="ID")
@click.option("--to", required=True, type=PATH, help="New file, for the police alone.")
@pass_context
def export(context: Context, item_id: str, to: Path) -> int:
    """Copy an item's content into a new file, readable by you alone."""
    item = context.app(as_owner=False).vault.export(item_id, to)
    click.echo(f"Exported {bytes_text(item.size)}, sha256 {item.sha256.hex()}.")
    return 0


@command.command("verify")
@click.option("--head", metavar="N:HEX", help="The ledger's head as an earlier verify told it.")
@click.option("--securer-head", metavar="N:HEX", help="The same of a separate securer's own record.")
@click.option("--json", "as_json", is_flag=True)
@pass_context
def verify(context: Context, head: str | None, securer_head: str | None, as_json: bool) -> int:
    """Hash everything in the vault again, and check the ledger's chain and tables."""
    from scanner.ledger import Head

    app = context.app()
    report = app.vault.verify()
    own = app.vault.record(str(Head.parse(securer_head)) if securer_head else "")
    with app.ledger(read_only=True) as ledger:
        chain = ledger.verify(Head.parse(head) if head else None)
        changed = ledger.changed_tables()
    if as_json:
        print_json(
            {
                "items": report.items,
                "objects": report.objects,
                "bytes": report.bytes,
                "problems": [
                    {"kind": p.kind, "where": str(p.where), "text": p.text} for p in report.problems
                ],
                "ledger": {
                    "ok": chain.ok,
                    "head": str(chain.head),
                    "problem": chain.problem or None,
                    "changed_tables": list(changed),
                },
                "securer": None
                if own is None
                else {
                    "ok": own.ok,
                    "head": own.head,
                    "problem": own.problem or None,
                    "changed_tables": list(own.changed),
                },
            }
        )
    else:
        click.echo(
            f"{report.items} items, {report.objects} objects, {bytes_text(report.bytes)} hashed again."
        )
        for p in report.problems:
            click.echo(f"{p.kind}: {p.text} ({display(str(p.where))})")
        click.echo(f"ledger: {'in order' if chain.ok else chain.problem}, head {chain.head}")
        if changed:
            click.echo(f"ledger: tables that differ from what is on record: {', '.join(changed)}")
        if own is not None:
            click.echo(f"securer's record: {'in order' if own.ok else own.problem}, head {own.head}")
            if own.changed:
                click.echo(f"securer's record: tables that differ from it: {', '.join(own.changed)}")
    sound = own is None or (own.ok and not own.changed)
    return 0 if not report.problems and chain.ok and not changed and sound else 2


@command.command("purge")
@click.argument("item_id", metavar="[ID]", required=False)
@click.option("--older-than", metavar="AGE", help="All items of resolved cases secured longer ago, e.g. 90d.")
@click.option("--yes", is_flag=True, help="Really: what is purged is gone.")
@pass_context
def purge(context: Context, item_id: str | None, older_than: str | None, yes: bool) -> int:
    """Remove items of resolved cases for good. Their cases and what is on record stay."""
    from scanner.config import parse_duration

    if bool(item_id) == bool(older_than):
        raise ConfigError("expected an ID or --older-than AGE, and not both")
    if not yes:
        raise ConfigError("purging can't be undone", remedy="Add --yes if you mean it")
    app = context.app()
    before = app.clock.now_ns() - int(parse_duration(older_than) * 1e9) if older_than else None
    with app.ledger() as ledger:

        def resolved(item: Item) -> bool:
            return ledger.get(item.case_id).state is not CaseState.OPEN

        gone = app.vault.purge(resolved, item_id=item_id, secured_before_ns=before)
        for item in gone:
            ledger.note(f"purged item {item.id}", app.actor, app.clock.now_ns(), item.case_id)
    click.echo(f"{len(gone)} items purged.")
    return 0 if gone else 1
