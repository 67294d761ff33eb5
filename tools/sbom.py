"""Writes sbom.cdx.json: what hostsweep consists of at run time, as CycloneDX.

    .venv-tools/bin/python tools/sbom.py [--python .venv/bin/python] [--output sbom.cdx.json]

cyclonedx-py reads names, versions, licences and dependencies from an installation, and the digests of
what may be installed from constraints.txt. Here both are joined, what isn't needed at run time is left out,
and the result is validated against CycloneDX's schema. No clock and no random number goes into it.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

ROOT = Path(__file__).parents[1]
_VERSION = "1.6"  # of CycloneDX
# Of those whose metadata say it in words that no tool knows ("2-clause BSD License").
_LICENCES = {"imagehash": "BSD-2-Clause"}
Document = dict[str, Any]


def key(name: str) -> str:
    """The one spelling of a distribution's name (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def described(mode: str, subject: Path) -> Document:
    """What cyclonedx-py says of an installation (`environment`) or of pinned requirements."""
    with tempfile.NamedTemporaryFile(suffix=".json") as out:
        command = [
            sys.executable, "-m", "cyclonedx_py", mode, str(subject),
            "--pyproject", str(ROOT / "pyproject.toml"),
            "--output-reproducible", "--sv", _VERSION, "--of", "JSON", "-o", out.name,
        ]  # fmt: skip
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True)
        if done.returncode:
            sys.exit(f"cyclonedx-py {mode} failed:\n{done.stderr}")
        document: Document = json.load(out)
        return document


def join(installed: Document, pinned: Document) -> Document:
    """Components of the installation that are pinned for run time, each with the digests it is pinned by.

    Raises:
        SystemExit: an installed version is not the pinned one, or a pinned component is not installed.
    """
    pins = {key(c["name"]): c for c in pinned["components"]}
    found = {key(c["name"]): c for c in installed["components"]}
    components = []
    for name, pin in sorted(pins.items()):
        there = found.get(name)
        if there is None or there["version"] != pin["version"]:
            have = there["version"] if there else "nothing"
            sys.exit(f"{name} {pin['version']} is pinned, and {have} is installed: run make dev anew")
        digests = [r for r in pin.get("externalReferences", []) if r.get("hashes")]
        if not digests:
            sys.exit(f"{name} is pinned without a digest: run make constraints")
        links = [*_described_links(there), *_plain(digests, there["purl"])]
        licences = there.get("licenses") or [{"license": {"id": _LICENCES[name]}}]
        components.append(there | {"externalReferences": links, "licenses": licences})
    kept = {c["bom-ref"] for c in components} | {installed["metadata"]["component"]["bom-ref"]}
    graph = [
        {"ref": d["ref"], "dependsOn": sorted(set(d.get("dependsOn", [])) & kept)}
        for d in installed["dependencies"]
        if d["ref"] in kept
    ]
    return installed | {"components": components, "dependencies": graph}


def _described_links(component: Document) -> list[Document]:
    return [r for r in component.get("externalReferences", []) if r["type"] != "distribution"]


def _plain(references: list[Document], purl: str) -> list[Document]:
    """The digests, without the address of whatever registry this machine uses."""
    return [{"type": "distribution", "url": purl, "hashes": r["hashes"]} for r in references]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", type=Path, default=ROOT / ".venv" / "bin" / "python")
    parser.add_argument("--output", type=Path, default=ROOT / "sbom.cdx.json")
    args = parser.parse_args()
    document = join(
        described("environment", args.python), described("requirements", ROOT / "constraints.txt")
    )
    text = json.dumps(document, indent=2, sort_keys=True) + "\n"
    wrong = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    if wrong is not None:
        sys.exit(f"this would be no CycloneDX {_VERSION}: {wrong}")
    args.output.write_text(text)
    print(f"{args.output}: {len(document['components'])} components, valid CycloneDX {_VERSION}")


if __name__ == "__main__":
    main()
