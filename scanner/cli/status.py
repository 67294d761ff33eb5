"""`hostsweep status`: everything at a glance."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click
from rich.text import Text

from scanner.cli.context import Context, pass_context
from scanner.cli.output import bytes_text, console, print_json, table, time_text
from scanner.model.names import display
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
    columns = ("volume", "last scan", ">files", ">hits", ">covered", "oldest gap", "")
    out.print(table("Volumes", columns, [_volume(v) for v in state["volumes"]]))
    for volume in state["volumes"]:
        for line in _gaps(volume):
            out.print(Text(f"  {line}"))
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


_STATES = {
    "never": "not scanned yet",
    "interrupted": "the last scan was cut short",
    "incomplete": "incomplete",
    "unmatched": "not yet matched with the lists and kinds of now",
    "whole": "whole",
}


def _volume(volume: dict[str, Any]) -> tuple[str, ...]:
    counts, coverage = volume["counts"], volume["coverage"]
    never = coverage["state"] == "never"
    return (
        volume["name"],
        time_text(volume["last_scan_ns"]),
        "" if never else f"{coverage['files']:,}",
        "" if never else f"{counts.get('matched', 0):,}",
        "" if never else percent(coverage["share"]),
        f"since {time_text(coverage['oldest_gap_ns'])}" if coverage["oldest_gap_ns"] else "",
        _STATES[coverage["state"]],
    )


def percent(share: float) -> str:
    """A share for people: 100 % is said of all there is and of nothing less."""
    return "100 %" if share == 1.0 else f"{min(100 * share, 99.99):.2f} %"


def _gaps(volume: dict[str, Any]) -> Iterator[str]:
    """What of a volume is not covered, and when it will be looked at."""
    name, coverage = display(volume["name"]), volume["coverage"]
    parts = [f"{n:,} {reason}" for reason, n in sorted(coverage["uncovered"].items())]
    if coverage["directories_unknown"]:
        parts.append(f"{coverage['directories_unknown']:,} directories that can't be read")
    if parts:
        yield f"{name}: not covered: {', '.join(parts)}"
    left_out = [f"{n:,} {reason}" for reason, n in sorted(coverage["left_out"].items()) if n]
    if left_out:
        yield f"{name}: left out by choice: {', '.join(left_out)}"
    running = coverage["running"]
    if running:
        share = "" if running["share"] is None else f", {percent(running['share'])}"
        eta = f", probably until {time_text(running['eta_ns'])}" if running["eta_ns"] else ""
        since = time_text(running["started_ns"])
        yield f"{name}: a scan runs since {since}: {running['files']:,} files{share}{eta}"
    elif coverage["next_scan_ns"]:
        until = coverage["next_scan_end_ns"]
        eta = f", probably until {time_text(until)}" if until else ""
        yield f"{name}: the daemon scans it next at {time_text(coverage['next_scan_ns'])}{eta}"
