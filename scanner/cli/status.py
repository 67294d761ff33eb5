"""`hostsweep status`: everything at a glance."""

from __future__ import annotations

from typing import Any

import click

from scanner.cli.context import Context, pass_context
from scanner.cli.output import bytes_text, console, print_json, table, time_text
from scanner.model.times import with_times


@click.command("status")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@pass_context
def command(context: Context, as_json: bool) -> int:
    """Volumes, coverage, feeds, vault and brake at a glance."""
    from scanner.app.status import status

    state = status(context.app())
    if as_json:
        print_json(with_times(state))
    else:
        _print(state)
    return 0


def _print(state: dict[str, Any]) -> None:
    out = console()
    columns = ("volume", "last scan", ">files", ">hits", ">covered", "")
    out.print(table("Volumes", columns, [_volume(v) for v in state["volumes"]]))
    rows = [
        (
            *(f["name"], f"{f['entries']:,}", "signed" if f["signed"] else "unsigned"),
            *(time_text(f["last_success_ns"]), _trouble(f)),
        )
        for f in state["feeds"]
    ]
    out.print(table("Feeds", ("feed", ">entries", "", "last success", "error"), rows))
    hashing = state["hashing"]
    kinds = ", ".join((*hashing["exact"], *hashing["perceptual"]))
    out.print(f"Hashes: {kinds}{' (and what lists bring)' * hashing['auto']}.")
    cases, vault, brake = state["cases"], state["quarantine"], state["brake"]
    out.print(f"Cases: {cases['total']:,}, {cases['unsecured']:,} of them with the file still in its place.")
    if vault["problem"]:
        out.print(f"Vault: {vault['problem']}", style="bold red")
    else:
        free = bytes_text(vault["free_bytes"])
        out.print(f"Vault: {vault['items']:,} items, {bytes_text(vault['bytes'])}, {free} free.")
    if brake["engaged"]:
        out.print(
            f"Brake: engaged since {time_text(brake['since_ns'])}: {brake['reason']}.", style="bold red"
        )
    else:
        out.print("Brake: not engaged.")


def _trouble(feed: dict[str, Any]) -> str:
    said = (["overdue"] if feed["overdue"] else []) + ([feed["last_error"]] if feed["last_error"] else [])
    if feed["not_hashed"]:
        said.append(f"compared with no file: {', '.join(sorted(feed['not_hashed']))}")
    return "; ".join(said)


def _volume(volume: dict[str, Any]) -> tuple[str, ...]:
    if volume["last_scan_ns"] is None:
        return (volume["name"], "never", "", "", "", "not scanned yet")
    counts = volume["counts"]
    return (
        volume["name"],
        time_text(volume["last_scan_ns"]),
        f"{counts.get('files', 0):,}",
        f"{counts.get('matched', 0):,}",
        f"{100 * volume['covered']:.1f} %",
        "whole" if volume["complete"] else "incomplete",
    )
