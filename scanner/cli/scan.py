"""`hostsweep scan`: one-shot scan of paths."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.text import Text

from scanner.cli.context import Context, pass_context
from scanner.cli.output import bytes_text, console, print_json, table
from scanner.cli.paths import PATH
from scanner.cli.reporters import ConsoleReporter, JsonReporter, LiveProgress, counts_json
from scanner.model.errors import ConfigError
from scanner.model.outcomes import ScanCounts
from scanner.pipeline.reporting import Reporter, Reporters
from scanner.system import heap

if TYPE_CHECKING:
    from scanner.app import App, ScanOutcome

EPILOG = (
    "Exit codes: 0 nothing found and everything scanned; 1 at least one hit; 2 usage, configuration or "
    "fatal error, or the brake stopped securing; 3 nothing found but the scan is incomplete; 130 interrupted."
)


@click.command("scan", epilog=EPILOG)
@click.argument("paths", nargs=-1, required=True, type=PATH)
@click.option(
    "--feed", "feeds", multiple=True, metavar="FILE_OR_URL", help="Use this list, its format detected."
)
@click.option("--quarantine", is_flag=True, help="Secure what matches; without it hits are only reported.")
@click.option("--full", is_flag=True, help="Ignore the catalog: read every file again.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, as things happen.")
@click.option("--no-progress", is_flag=True, help="No live line on a terminal.")
@click.option("--metrics-file", type=PATH, help="Write what /metrics would show.")
@pass_context
def command(
    context: Context,
    paths: tuple[Path, ...],
    feeds: tuple[str, ...],
    quarantine: bool,
    full: bool,
    as_json: bool,
    no_progress: bool,
    metrics_file: Path | None,
) -> int:
    """Scan PATHS once. Only reports, unless --quarantine is given."""
    out, err = console(), console(stderr=True)
    app = context.app()
    live = err.is_terminal and not no_progress and not context.quiet
    # On one terminal, hits and the live line have to come from one console, or they write into each other.
    lines = err if live and out.is_terminal else out
    reporters: list[Reporter] = [
        JsonReporter() if as_json else ConsoleReporter(lines, err, quiet=context.quiet)
    ]
    stop = threading.Event()
    with contextlib.ExitStack() as stack:
        if live:
            reporters.append(stack.enter_context(LiveProgress(err)))
        heap.prepare()
        outcome = asyncio.run(
            _scan(app, paths, feeds, Reporters(reporters), stop, quarantine=quarantine, full=full)
        )
    if metrics_file is not None:
        from scanner.app.coverage import note_now

        note_now(app, outcome.volumes, outcome.index_id)
        try:
            outcome.metrics.write_textfile(metrics_file)
        except OSError as e:
            raise ConfigError(
                f"the metrics can't be written ({e.strerror})",
                where=str(metrics_file),
                remedy="Name a file in a directory that exists and may be written",
            ) from e
    if as_json:
        print_json({"event": "summary", **counts_json(outcome.counts, outcome.seconds)})
    else:
        _print_summary(out, outcome)
    return exit_code(outcome.counts, quarantine=quarantine)


async def _scan(
    app: App,
    paths: tuple[Path, ...],
    feeds: tuple[str, ...],
    reporter: Reporter,
    stop: threading.Event,
    *,
    quarantine: bool,
    full: bool,
) -> ScanOutcome:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    return await app.scan_paths(paths, feeds, reporter, stop, quarantine=quarantine, full=full)


def exit_code(counts: ScanCounts, *, quarantine: bool) -> int:
    """The contract's exit code of a scan. A brake that held back securing needs a person: 2."""
    if counts.interrupted:
        return 130
    if counts.braked and quarantine:
        return 2
    if counts.matched:
        return 1
    return 0 if counts.complete else 3


def _print_summary(out: Console, outcome: ScanOutcome) -> None:
    counts, seconds = outcome.counts, max(outcome.seconds, 0.001)
    rows: list[tuple[str, object]] = [
        ("files met", f"{counts.files:,}"),
        (
            "hashed now",
            f"{counts.hashed:,}  ({bytes_text(counts.bytes)}, {bytes_text(counts.bytes / seconds)}/s)",
        ),
        ("clean", f"{counts.clean:,}"),
        ("unchanged", f"{counts.unchanged:,}"),
        *([("known from a former path", f"{counts.moved:,}")] if counts.moved else []),
        ("matched", f"{counts.matched:,}  ({counts.secured:,} secured, {counts.unsecured:,} still in place)"),
    ]
    rows += [(f"skipped: {reason}", f"{n:,}") for reason, n in sorted(counts.skipped.items())]
    rows += [(f"failed: {kind}", f"{n:,}") for kind, n in sorted(counts.failed.items())]
    if counts.directories_failed:
        rows.append(("directories not read", f"{counts.directories_failed:,}"))
    rows += [(f"no file: {kind}", f"{n:,}") for kind, n in sorted(counts.other.items())]
    out.print(table("", ("", ">"), rows))
    out.print(verdict_line(counts, outcome.seconds))


def verdict_line(counts: ScanCounts, seconds: float) -> Text:
    """One sentence that says how the scan ended."""
    if counts.interrupted:
        how, style = "Interrupted: what was done is kept, the next scan goes on from there", "yellow"
    elif counts.braked:
        how, style = "The brake is engaged: hits were left in place; see `hostsweep brake show`", "bold red"
    elif counts.matched:
        how, style = f"{counts.matched:,} hit{'' if counts.matched == 1 else 's'}", "bold red"
    elif counts.complete:
        how, style = "Nothing found, everything scanned", "green"
    else:
        how, style = "Nothing found, but not everything could be scanned", "yellow"
    if counts.matched and not counts.complete and not counts.interrupted:
        how += "; not everything could be scanned"
    return Text(f"{how} ({seconds:.1f} s).", style=style)
