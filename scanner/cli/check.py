"""`hostsweep check`: one file or one hash against the lists."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.text import Text

from scanner.cli.context import Context, pass_context
from scanner.cli.matches import how, match_json
from scanner.cli.output import console, print_json, table
from scanner.cli.paths import PATH
from scanner.model.errors import ConfigError
from scanner.model.hashes import Digests
from scanner.model.matches import Match
from scanner.model.names import display

if TYPE_CHECKING:
    from scanner.app import App


@click.command("check")
@click.argument("files", nargs=-1, type=PATH)
@click.option("--hash", "hashes", multiple=True, metavar="HEX", help="A hash instead of a file.")
@click.option("--feed", "feeds", multiple=True, metavar="FILE_OR_URL", help="Also look in this list.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@pass_context
def command(
    context: Context, files: tuple[Path, ...], hashes: tuple[str, ...], feeds: tuple[str, ...], as_json: bool
) -> int:
    """Print the digests of FILES and whether they are listed. Exit code 0: listed; 1: not listed."""
    if bool(files) == bool(hashes):
        raise ConfigError("expected files, or --hash, and not both")
    app = context.app()
    answers = asyncio.run(_answers(app, files, hashes, feeds))
    for name, digests, matches in answers:
        if as_json:
            print_json(_json(name, digests, matches))
        else:
            _print(name, digests, matches)
    return 0 if any(matches for _, _, matches in answers) else 1


async def _answers(
    app: App, files: tuple[Path, ...], hashes: tuple[str, ...], feeds: tuple[str, ...]
) -> list[tuple[str, Digests, tuple[Match, ...]]]:
    lists = await app.lists_for(feeds, needed=bool(hashes))
    if files:
        return await asyncio.to_thread(app.check_files, files, lists)
    return [answer for text in hashes for answer in app.check_hash(text, lists)]


def _json(name: str, digests: Digests, matches: tuple[Match, ...]) -> dict[str, Any]:
    return {
        "name": name,
        "media_type": digests.media_type,
        "size": digests.size,
        "digests": {kind: value.hex() for kind, value in digests.exact.items()},
        "perceptual": [
            {"kind": p.kind, "view": p.view, "value": p.value.hex(), "quality": p.quality}
            for p in digests.perceptual
        ],
        "problem": digests.problem or None,
        "listed": bool(matches),
        "matches": [match_json(m) for m in matches],
        "perceptual_only": bool(matches) and not any(m.exact for m in matches),
    }


def _print(name: str, digests: Digests, matches: tuple[Match, ...]) -> None:
    rows: list[tuple[object, object]] = [("name", Text(display(name)))]
    if digests.media_type:
        rows.append(("type", digests.media_type))
    rows += [(kind, value.hex()) for kind, value in digests.exact.items()]
    rows += [(f"{p.kind} ({p.view}, quality {p.quality})", p.value.hex()) for p in digests.perceptual]
    if digests.problem:
        rows.append(("problem", digests.problem))
    rows += [("listed by", f"{m.feed}, entry {m.entry}, {how(m)}") for m in matches]
    if not matches:
        rows.append(("listed by", "none of the lists in use"))
    console().print(table("", ("", ""), rows))
