"""What a person or a program at the other end of `scan` sees while it runs."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.text import Text

from scanner.cli.matches import how, match_json
from scanner.cli.output import bytes_text, print_json
from scanner.model.matches import Action, Case
from scanner.model.names import display, json_fields
from scanner.model.outcomes import ScanCounts

_STYLES = {Action.QUARANTINED: "green", Action.REPORTED: "yellow", Action.FAILED: "red"}


def case_json(case: Case, path: bytes) -> dict[str, Any]:
    """A hit as the contract has it."""
    digests = case.digests
    hashes = {kind: value.hex() for kind, value in digests.exact.items()}
    for p in digests.perceptual:
        hashes.setdefault(p.kind, p.value.hex())
    return {
        "id": case.id,
        **json_fields(path),
        "volume": case.volume,
        "size": case.size,
        "media_type": digests.media_type,
        "digests": hashes,
        "match": match_json(case.match),
        "perceptual_only": case.perceptual_only,
        "action": str(case.action),
        "reason": case.reason,
        "quarantine_id": case.quarantine_id or None,
        "member": None,
    }


def counts_json(counts: ScanCounts, seconds: float) -> dict[str, Any]:
    """A summary as the contract has it."""
    return {
        "files": counts.files,
        "bytes": counts.bytes,
        "hashed": counts.hashed,
        "unchanged": counts.unchanged,
        "moved": counts.moved,
        "matched": counts.matched,
        "clean": counts.clean,
        "hits": counts.matched,
        "secured": counts.secured,
        "errors": counts.errors,
        "failed": dict(sorted(counts.failed.items())),
        "skipped": dict(sorted(counts.skipped.items())),
        "other": dict(sorted(counts.other.items())),
        "directories": counts.directories,
        "unreadable_directories": counts.directories_failed,
        "seconds": round(seconds, 3),
        "complete": counts.complete,
        "brake_engaged": counts.braked,
    }


class JsonReporter:
    """One JSON object a line, as things happen."""

    def hit(self, case: Case, path: bytes) -> None:
        print_json({"event": "hit", **case_json(case, path)})

    def error(self, volume: str, path: bytes, kind: str) -> None:
        print_json({"event": "error", "volume": volume, **json_fields(path), "kind": kind})

    def skipped(self, volume: str, path: bytes, reason: str, files: int) -> None:
        print_json(
            {"event": "skipped", "volume": volume, **json_fields(path), "reason": reason, "files": files}
        )

    def progress(self, volume: str, counts: ScanCounts, queued: int, hashing: int) -> None:
        """Progress is for people."""

    def note(self, event: str, **fields: object) -> None:
        values = {k: display(v) if isinstance(v, bytes) else v for k, v in fields.items()}
        print_json({"event": "note", "note": event, **values})


class ConsoleReporter:
    """Lines for a person: hits on stdout, errors on stderr."""

    def __init__(self, out: Console, err: Console, *, quiet: bool) -> None:
        self._out = out
        self._err = err
        self._quiet = quiet

    def hit(self, case: Case, path: bytes) -> None:
        match = case.match
        line = Text()
        line.append(f"{case.action:<11} ", style=_STYLES[case.action])
        line.append(display(path))
        listed = match.category if match.category else "uncategorised"
        by = how(match) + "; no digest is listed" * case.perceptual_only
        line.append(f"  [{match.feed} {match.entry}, {listed}; {by}] case {case.id}", style="dim")
        if case.action is Action.FAILED:
            line.append(f"  {case.reason}", style="red")
        self._out.print(line)

    def error(self, volume: str, path: bytes, kind: str) -> None:
        if not self._quiet:
            self._err.print(Text(f"not scanned ({kind}): {display(path)}", style="red"))

    def skipped(self, volume: str, path: bytes, reason: str, files: int) -> None:
        if not self._quiet:
            self._err.print(Text(f"left out ({reason}), {files} files: {display(path)}", style="dim"))

    def progress(self, volume: str, counts: ScanCounts, queued: int, hashing: int) -> None:
        """The live line is another reporter."""

    def note(self, event: str, **fields: object) -> None:
        if event in ("exception_applied", "hit_not_secured"):
            return  # decided long ago, or said by the hit's own line; the log and --json have it
        said = ", ".join(
            f"{k} {display(v if isinstance(v, bytes | str) else str(v))}" for k, v in fields.items()
        )
        self._err.print(Text(f"{event.replace('_', ' ')}: {said}", style="bold yellow"))


class LiveProgress:
    """One live line on a terminal: files, bytes, rate, hits, current volume."""

    def __init__(self, console: Console) -> None:
        from rich.progress import Progress, SpinnerColumn, TextColumn  # loaded late: only a terminal sees it

        self._progress = Progress(
            SpinnerColumn(), TextColumn("{task.description}", markup=False), console=console, transient=True
        )
        self._task = self._progress.add_task("starting", total=None)
        self._started = time.monotonic()

    def __enter__(self) -> LiveProgress:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def hit(self, case: Case, path: bytes) -> None:
        """Counted in `progress`."""

    def error(self, volume: str, path: bytes, kind: str) -> None:
        """Counted in `progress`."""

    def skipped(self, volume: str, path: bytes, reason: str, files: int) -> None:
        """Counted in `progress`."""

    def note(self, event: str, **fields: object) -> None:
        """Said by the console reporter."""

    def progress(self, volume: str, counts: ScanCounts, queued: int, hashing: int) -> None:
        seconds = max(time.monotonic() - self._started, 0.001)
        self._progress.update(
            self._task,
            description=(
                f"{counts.files:,} files  {bytes_text(counts.bytes)}  {counts.files / seconds:,.0f} files/s  "
                f"{bytes_text(counts.bytes / seconds)}/s  {counts.matched} hits  {counts.errors} errors  "
                f"{display(volume)}"
            ),
        )
