"""`--dry-run`: what a list would change, printed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from scanner.cli.output import console, print_json, table

if TYPE_CHECKING:
    from scanner.app.rehearsing import KnownHits, Rehearsal


def tell(rehearsal: Rehearsal, as_json: bool) -> int:
    """Print it; returns the exit code: 2 where a sync would refuse the list, else 0."""
    code = 2 if rehearsal.would == "refused" else 0
    if as_json:
        print_json(rehearsal.as_dict())
        return code
    name = rehearsal.feed
    if rehearsal.would == "not_modified":
        click.echo(
            f"{name}: the publisher's list is the one in use, {rehearsal.after:,} entries; "
            "nothing would change."
        )
        return code
    click.echo(f"{name}: dry run, nothing was changed.")
    rows = [("entries", f"{rehearsal.before:,}", f"{rehearsal.after:,}", "", "")]
    rows += [
        (kind, f"{c.before:,}", f"{c.after:,}", f"{c.come:,}", f"{c.go:,}")
        for kind, c in rehearsal.hashes.items()
    ]
    console().print(table("", ("", ">now", ">then", ">come", ">go"), rows))
    for finding in rehearsal.findings:
        click.echo(f"It would be refused ({finding.check}): {finding.what}.")
    if rehearsal.known is None:
        click.echo(f"Known files not compared: {rehearsal.not_compared}.")
    else:
        click.echo(_known(rehearsal.known))
    return code


def _known(known: KnownHits) -> str:
    said = known.as_dict()
    kinds = ", ".join(f"{n:,} by {kind}" for kind, n in said["by_kind"].items())
    text = f"Of {said['compared']:,} known files {said['hits']:,} would be hits"
    text += f" ({kinds})" if kinds else ""
    text += f"; {said['come']:,} of them are none now, and {said['go']:,} would be none any more."
    if said["false_positives"]:
        text += f" {said['false_positives']:,} are remembered as false positives."
    return text
