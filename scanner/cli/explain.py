"""`hostsweep explain`: whether and why a path is, was or will be scanned."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.text import Text

from scanner.cli.context import Context, pass_context
from scanner.cli.hits import case_path, full_json
from scanner.cli.output import bytes_text, console, print_json, table, time_text
from scanner.cli.paths import PATH
from scanner.cli.reasons import ANSWERS, REASONS
from scanner.model.names import display, json_fields
from scanner.model.times import iso, with_times

if TYPE_CHECKING:
    from scanner.app import App
    from scanner.app.explaining import Explanation, InVolume, Known


@click.command("explain")
@click.argument("path", type=PATH)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@pass_context
def command(context: Context, path: Path, as_json: bool) -> int:
    """Say whether and why PATH is, was or will be scanned. Nothing of a file is read.

    Exit code 0: it is, was or will be looked at; 1: it is not, or it is nowhere.
    """
    from scanner.app import explaining

    app = context.app(as_owner=False)
    seen = explaining.look(app, os.fsencode(path))  # with the rights of whoever asks
    app.become_owner()
    found = explaining.explain(app, seen)
    if as_json:
        print_json(_json(app, found))
    else:
        _print(app, found)
    return 0 if found.looked_at else 1


# For programs


def _json(app: App, found: Explanation) -> dict[str, Any]:
    return {
        **json_fields(found.path),
        "looked_at": found.looked_at,
        "volumes": [_volume_json(each) for each in found.volumes],
        "cases": [full_json(case) for case in found.cases],
        "leads_to": _json(app, found.leads_to) if found.leads_to else None,
        "records": found.records or None,
        "configured_volumes": [{"name": v.name, **json_fields(v.shown(b""))} for v in app.volumes],
    }


def _volume_json(each: InVolume) -> dict[str, Any]:
    from scanner.app.covered import to_json

    gap, st = each.gap, each.stat
    return {
        "volume": each.place.volume.name,
        "configured": each.place.configured,
        "answer": str(each.answer),
        "reason": each.reason or None,
        "text": sentence(each),
        **json_fields(each.at, "at"),
        "exclude": each.pattern or None,
        "size": st.size if st else None,
        "modified": iso(st.mtime_ns) if st else None,
        "changed": iso(st.ctime_ns) if st else None,
        "known": _known_json(each.known) if each.known else None,
        "gap": gap
        and {
            **json_fields(each.place.volume.shown(gap.path)),
            "reason": gap.reason,
            "since": iso(gap.first_ns),
            "last": iso(gap.last_ns),
        },
        "coverage": with_times(to_json(each.coverage)) if each.coverage else None,
    }


def _known_json(known: Known) -> dict[str, Any]:
    digests = known.file.digests
    return {
        "state": known.file.state.name.lower(),
        "unchanged": known.fresh,
        "kinds_of_now": known.kinds_of_now,
        "matched": known.matched,
        "media_type": digests.media_type or None,
        "problem": digests.problem or None,
        "kinds": sorted({*digests.exact, *(p.kind for p in digests.perceptual)}),
        "listed_by": None if known.matches is None else [m.feed for m in known.matches],
    }


# For people


def sentence(each: InVolume) -> str:
    """The answer in one sentence."""
    text = ANSWERS[str(each.answer)]
    reason = REASONS.get(each.reason, each.reason)
    if each.answer == "hit" and not each.reason:
        return text
    return f"{text}: {reason}" if reason else text


def _print(app: App, found: Explanation) -> None:
    out = console()
    out.print(Text(display(found.path), style="bold"))
    if not found.volumes:
        known = ", ".join(f"{v.name} ({display(v.shown(b''))})" for v in app.volumes)
        out.print(f"It is in no volume. Volumes: {known or 'none is configured'}.")
    for each in found.volumes:
        out.print(table("", ("", ""), list(_rows(each))))
    for case in found.cases:
        out.print(Text(f"Case {case.id}: {case.state}, {case.action} ({case.reason})"))
        out.print(
            Text(f"  opened {time_text(case.opened_ns)}, listed by {case.match.feed}, {case.match.kind}")
        )
        if case.quarantine_id:
            out.print(Text(f"  in the vault as {case.quarantine_id}, from {display(case_path(case))}"))
    if found.records:
        out.print(Text(f"What scans found is not known here: {display(found.records)}."))
    if found.leads_to is not None:
        out.print(Text("It leads to:"))
        _print(app, found.leads_to)


def _rows(each: InVolume) -> Iterator[tuple[object, object]]:
    volume = each.place.volume
    made = "" if each.place.configured else ", not configured: made for a scan by hand"
    yield "volume", Text(f"{display(volume.name)} ({display(volume.shown(b''))}{made})")
    yield "answer", Text(display(sentence(each)) + ".", style="bold")
    if each.at != each.place.shown:
        yield "the walk ends at", Text(display(each.at))
    if each.pattern:
        yield "exclude pattern", each.pattern
    if each.stat is not None:
        yield "now", f"{bytes_text(each.stat.size)}, changed {time_text(each.stat.ctime_ns)}"
    if each.known is not None:
        yield from _known_rows(each.known)
    if each.gap is not None:
        gap = each.gap
        yield "not looked at", f"{gap.reason}, since {time_text(gap.first_ns)}, last {time_text(gap.last_ns)}"
    yield from _times(each)


def _known_rows(known: Known) -> Iterator[tuple[object, object]]:
    digests = known.file.digests
    kinds = ", ".join(sorted({*digests.exact, *(p.kind for p in digests.perceptual)})) or "not hashed"
    how = "as it is now" if known.fresh else "as it was"
    problem = f", {REASONS.get(digests.problem, digests.problem)}" if digests.problem else ""
    kind = digests.media_type or "unknown type"
    yield "known", f"{how}: {known.file.state.name.lower().replace('_', ' ')}, {kind}, {kinds}{problem}"
    if not known.kinds_of_now:
        yield "", "hashed with other kinds of hashes than those of now"
    if known.matches is None:
        yield "listed now by", "unknown: the lists can't be read"
    elif digests.exact or digests.perceptual:
        named = ", ".join(f"{m.feed} ({m.kind})" for m in known.matches)
        yield "listed now by", Text(display(named or "none of the lists of now"))
    if not known.matched:
        yield "", "the volume's known files are not all matched with the lists of now yet"


def _times(each: InVolume) -> Iterator[tuple[object, object]]:
    stand = each.coverage
    if stand is None:
        return
    yield "last whole walk", f"began {time_text(stand.walked_ns)}"
    running = stand.running
    if running is not None:
        until = f", probably until {time_text(running.eta_ns)}" if running.eta_ns else ""
        yield "scan", f"runs since {time_text(running.started_ns)}{until}"
    elif stand.next_ns:
        until = f", probably until {time_text(stand.next_end_ns)}" if stand.next_end_ns else ""
        yield "next scan", f"by the daemon, {time_text(stand.next_ns)}{until}"
    elif not each.place.configured:
        yield "next scan", "only by hand: no configured volume"
