"""`hostsweep doctor`: is this machine in order?"""

from __future__ import annotations

import click
from rich.text import Text

from scanner.cli.context import Context, pass_context
from scanner.cli.output import console, print_json, table

_MARKS = {
    True: Text("ok", style="green"),
    None: Text("note", style="yellow"),
    False: Text("wrong", style="bold red"),
}


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@pass_context
def command(context: Context, as_json: bool) -> int:
    """Check privileges, kernel, feeds, space and permissions, and prove detection with a harmless canary."""
    from scanner.app.diagnosis import diagnose

    findings = diagnose(context.app())
    if as_json:
        for f in findings:
            print_json({"name": f.name, "ok": f.ok is not False, "note": f.ok is None, "text": f.text})
    else:
        console().print(table("", ("", "", ""), [(_MARKS[f.ok], f.name, f.text) for f in findings]))
    return 0 if all(f.ok is not False for f in findings) else 2
