"""`hostsweep catalog`: what is known of the files that were scanned."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import click

from scanner.cli.context import Context, pass_context
from scanner.cli.output import bytes_text, console, print_json, table
from scanner.cli.paths import PATH


@click.group("catalog")
def command() -> None:
    """What is known of the files that were scanned, so that the unchanged are not read again."""


@command.command("stats")
@click.option("--json", "as_json", is_flag=True)
@pass_context
def stats(context: Context, as_json: bool) -> int:
    """Files, states and digests by volume, and what the catalog takes. Exit code 1 if there is none."""
    from scanner.app.cataloguing import catalog_size, stats_of

    app = context.app()
    with app.catalog() as catalog:
        volumes = [stats_of(volume) for volume in catalog.stats()] if catalog is not None else []
    size = catalog_size(app.state.catalog)
    files = sum(volume["files"] for volume in volumes)
    if as_json:
        print_json({"size": size, "bytes_a_file": size / files if files else None, "volumes": volumes})
        return 0 if volumes else 1
    if not volumes:
        click.echo("Nothing was scanned yet.")
        return 1
    rows = [
        (
            volume["volume"], volume["directories"], volume["files"], volume["with_digests"],
            *volume["states"].values(), "yes" if volume["matched_with"] else "not all",
        )
        for volume in volumes
    ]  # fmt: skip
    columns = [
        ">directories",
        ">files",
        ">with digests",
        *(f">{s.replace('_', ' ')}" for s in volumes[0]["states"]),
    ]
    console().print(table("", ["volume", *columns, "matched"], rows))
    each = f", {size / files:.0f} bytes a file" if files else ""
    click.echo(f"{app.state.catalog}: {bytes_text(size)}{each}.")
    return 0


@command.command("export")
@click.option(
    "--format", "format", type=click.Choice(["json", "csv", "parquet"]), default="json", show_default=True
)
@click.option("--volume", default="", help="Only this one.")
@click.option("--to", "path", type=PATH, help="A new file (mode 0600); else standard output.")
@pass_context
def export(context: Context, format: str, volume: str, path: Path | None) -> int:
    """Write a row for each known file: path, times, state and all digests.

    JSON is one object a line. Paths are exact bytes in Parquet, and in `path_base64` of JSON where they are
    no UTF-8; in CSV such bytes are escaped.
    """
    from scanner.app.cataloguing import known_files, writer_of

    app = context.app(as_owner=False)
    if path is None and format == "parquet":
        raise click.UsageError("Parquet needs --to FILE.")
    write = writer_of(format)
    with _out(path) as out:
        app.become_owner()
        with app.catalog() as catalog:
            if catalog is None:
                click.echo("Nothing was scanned yet.", err=True)
                raise click.exceptions.Exit(1)
            count = write(known_files(catalog, volume), out)
    if path is not None:
        click.echo(f"{count:,} files written.")
    return 0


@command.command("forget")
@click.argument("volume")
@pass_context
def forget(context: Context, volume: str) -> int:
    """Forget a volume that is not scanned any more: its files, digests and gaps.

    Cases and the ledger stay. Should it be scanned again, all its files are read.
    """
    from scanner.app.forgetting import forget as forget_volume

    app = context.app()
    app.become_owner()
    files = sum(known.files for known in forget_volume(app, volume))
    click.echo(f"{volume}: {files:,} files forgotten.")
    if any(configured.name == volume for configured in app.config.volumes):
        click.echo("It is still configured: the next scan reads all its files.")
    return 0


@contextmanager
def _out(path: Path | None) -> Iterator[BinaryIO]:
    """Standard output, or a new file, which is removed again if it does not become whole."""
    if path is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as e:
        raise click.UsageError(f"{path}: {e.strerror}") from e
    with os.fdopen(fd, "wb") as out:
        try:
            yield out
            out.flush()
            os.fsync(fd)
        except BaseException:
            with suppress(OSError):  # made as root, and we may be the owner of the state by now
                path.unlink()
            raise
