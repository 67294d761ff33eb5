"""`hostsweep hits`: the cases."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from rich.text import Text

from scanner.cli.context import Context, pass_context
from scanner.cli.matches import ALONE, evidence, how, match_json
from scanner.cli.output import bytes_text, console, print_json, table, time_text
from scanner.cli.reporters import case_json
from scanner.model.errors import ScannerError
from scanner.model.matches import Case, CaseState
from scanner.model.names import display
from scanner.model.times import iso

if TYPE_CHECKING:
    from scanner.app import App


def case_path(case: Case) -> bytes:
    """The absolute path as people know it."""
    return case.shown_as.encode("utf-8", "surrogateescape").rstrip(b"/") + b"/" + case.path


def full_json(case: Case) -> dict[str, object]:
    """Everything about a case."""
    return {
        **case_json(case, case_path(case)),
        "state": str(case.state),
        "opened": iso(case.opened_ns),
        "updated": iso(case.updated_ns),
        "modified": iso(case.mtime_ns),
        "customer": case.customer or None,
        "others": [match_json(m) for m in case.others],
        "note": case.note,
    }


def _row(case: Case) -> tuple[object, ...]:
    return (
        case.id,
        time_text(case.opened_ns),
        case.state,
        case.action,
        f"{case.match.feed} {how(case.match)}",
        Text(display(case_path(case))),
    )


@click.group("hits")
def command() -> None:
    """Cases: what matched, and what was done."""


@command.command("list")
@click.option("--state", type=click.Choice([str(s) for s in CaseState]), help="Only cases in this state.")
@click.option("--unsecured", is_flag=True, help="Only cases whose file is still in its place.")
@click.option("--orphaned", is_flag=True, help="Only cases that no list in use supports any more.")
@click.option("--limit", default=1000, show_default=True, help="At most this many, newest first.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@pass_context
def list_cases(
    context: Context, state: str | None, unsecured: bool, orphaned: bool, limit: int, as_json: bool
) -> int:
    """List cases, newest first."""
    app, wanted = context.app(), CaseState(state) if state else None
    with app.ledger(read_only=True) as ledger:
        if orphaned:
            from scanner.app import orphans  # loaded late: it brings everything that matching needs

            cases = tuple(orphans.orphaned(app, ledger, state=wanted, unsecured=unsecured, limit=limit))
        else:
            cases = ledger.list(state=wanted, unsecured=unsecured, limit=limit)
    if as_json:
        for case in cases:
            print_json(full_json(case) | ({"supported_by": []} if orphaned else {}))
    elif cases:
        rows = [_row(case) for case in cases]
        console().print(table("", ("case", "opened", "state", "action", "match", "path"), rows))
    else:
        click.echo("No cases.", err=True)
    return 0 if cases else 1


@command.command("show")
@click.argument("case_id", metavar="ID")
@click.option("--json", "as_json", is_flag=True)
@pass_context
def show(context: Context, case_id: str, as_json: bool) -> int:
    """Show one case whole. Never shows a picture."""
    app = context.app()
    with app.ledger(read_only=True) as ledger:
        case = ledger.get(case_id)
    feeds = _supported_by(app, case)
    if as_json:
        print_json({**full_json(case), "supported_by": None if feeds is None else list(feeds)})
        return 0
    match = case.match
    rows: list[tuple[object, object]] = [
        ("case", case.id),
        ("state", case.state),
        ("opened", time_text(case.opened_ns)),
        ("volume", case.volume),
        ("path", Text(display(case_path(case)))),
        ("customer", case.customer or "unknown"),
        ("size", f"{bytes_text(case.size)}, {case.digests.media_type or 'unknown type'}"),
        ("last modified", f"{time_text(case.mtime_ns)} (the customer can set this)"),
        ("match", evidence(case)),
        *([("by", ALONE)] if case.perceptual_only else []),
        ("listed by", f"{match.feed}, entry {match.entry}, category {match.category or 'none'}"),
        ("action", f"{case.action} ({case.reason})"),
    ]
    rows += [
        (name, Text(display(", ".join(told) if isinstance(told, list) else str(told))))
        for name, told in match.told().items()
    ]
    rows.append(("listed today by", _today(feeds)))
    rows += [("also listed by", f"{m.feed}, entry {m.entry}, {how(m)}") for m in case.others]
    rows += [(kind, value.hex()) for kind, value in sorted(case.digests.exact.items())]
    if match.value:
        rows.append((f"{match.kind}, {match.view}", match.value.hex()))
    if case.quarantine_id:
        rows.append(("quarantine", case.quarantine_id))
    if case.note:
        rows.append(("note", case.note))
    console().print(table("", ("", ""), rows))
    return 0


def _supported_by(app: App, case: Case) -> tuple[str, ...] | None:
    """Feeds that support a case today; None where the lists can't be read by whoever asks."""
    from scanner.app import orphans

    try:
        return orphans.supported_by(app.keeper.open().index, case)
    except ScannerError:
        return None


def _today(feeds: tuple[str, ...] | None) -> str:
    if feeds is None:
        return "unknown: the lists can't be read"
    return ", ".join(feeds) or "none: orphaned"


@command.command("resolve")
@click.argument("case_id", metavar="ID")
@click.option("--as", "verdict", required=True, type=click.Choice(["confirmed", "false-positive"]))
@click.option("--note", required=True, help="Who decided, and why.")
@pass_context
def resolve(context: Context, case_id: str, verdict: str, note: str) -> int:
    """Close a case. A false positive is restored, and never secured again."""
    from scanner.app import cases  # loaded late: it brings everything that scanning needs

    restored = cases.resolve(context.app(), case_id, CaseState(verdict), note)
    click.echo(
        f"Case resolved as {verdict}." + (f" The file is back at {display(restored)}." if restored else "")
    )
    return 0
