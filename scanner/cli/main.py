"""The `hostsweep` command: common options, and verbs that are loaded only when they are asked for."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

import click

from scanner import __version__
from scanner.cli.context import Context
from scanner.cli.paths import PATH
from scanner.model.errors import ScannerError
from scanner.system.collecting import collect_seldom, end_without_collecting

# Verb: module, and what it does. Loading a verb's libraries only when it is used keeps `--help` quick.
_VERBS = {
    "scan": ("scanner.cli.scan", "Scan paths once."),
    "daemon": ("scanner.cli.daemon", "Run until SIGTERM: sync feeds, scan on schedule, serve metrics."),
    "securer": ("scanner.cli.securer", "Run until SIGTERM: keep the vault for a daemon without power."),
    "feed": ("scanner.cli.feed", "Hash lists: list, sync, import, show, benign."),
    "check": ("scanner.cli.check", "Digests of a file, and whether they are listed."),
    "hits": ("scanner.cli.hits", "Cases: list, show, resolve."),
    "quarantine": ("scanner.cli.quarantine", "The vault: list, show, restore, export, verify, purge."),
    "brake": ("scanner.cli.brake", "The brake on securing: show, release."),
    "explain": ("scanner.cli.explain", "Whether and why a path is, was or will be scanned."),
    "status": ("scanner.cli.status", "Volumes, coverage, feeds, vault and brake at a glance."),
    "catalog": ("scanner.cli.catalog", "What is known of scanned files: stats, export."),
    "config": ("scanner.cli.config", "The configuration: check, show."),
    "doctor": ("scanner.cli.doctor", "Check this machine, and prove detection with a harmless canary."),
}


class _Verbs(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _VERBS:
            return None
        command = importlib.import_module(_VERBS[cmd_name][0]).command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl([(name, text) for name, (_, text) in _VERBS.items()])


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="hostsweep")
@click.option("-c", "--config", type=PATH, help="Configuration file (/etc/hostsweep/config.yaml).")
@click.option("--state-dir", type=PATH, help="Where catalog, ledger, feeds and vault are.")
@click.option("--log-format", type=click.Choice(["console", "json"]), default="console", show_default=True)
@click.option("-v", "--verbose", count=True, help="More log messages; twice for all.")
@click.option("-q", "--quiet", is_flag=True, help="Only errors.")
@click.pass_context
def main(ctx: click.Context, /, **options: Any) -> None:
    """Find known child sexual abuse material on this host's storage by hash, and secure it as evidence."""
    ctx.obj = Context(**options)


def run() -> None:
    """Entry point: one sentence and an exit code for every error, never a traceback.

    Exit codes: the verb's own; 2 for usage, configuration and fatal errors; 130 when interrupted.
    """
    os.umask(0o077)  # evidence, lists, paths: whatever a caller's mask is, nothing we make is for others
    collect_seldom()
    end_without_collecting()
    try:
        result = main.main(standalone_mode=False)
    except click.exceptions.Exit as e:
        sys.exit(e.exit_code)
    except click.Abort:
        sys.exit(130)
    except click.ClickException as e:
        e.show()
        sys.exit(2)
    except ScannerError as e:
        click.echo(f"hostsweep: {e}", err=True)
        sys.exit(e.exit_code)
    except BrokenPipeError:
        # The reader of our output went away (`| head`): nothing is left to be told.
        sys.stderr.close()
        sys.exit(141)
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(result if isinstance(result, int) else 0)
