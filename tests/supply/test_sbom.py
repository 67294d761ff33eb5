"""The SBOM: valid CycloneDX, everything that is pinned for run time, by version, digest and licence."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = ROOT / ".venv-tools" / "bin" / "python"
VALIDATE = (
    "import sys; from cyclonedx.schema import SchemaVersion;"
    " from cyclonedx.validation.json import JsonStrictValidator;"
    " wrong = JsonStrictValidator(SchemaVersion.V1_6).validate_str(open(sys.argv[1]).read());"
    " sys.exit(str(wrong) if wrong else 0)"
)


def made(output: Path) -> bytes:
    subprocess.run(
        [TOOLS, "tools/sbom.py", "--output", output], cwd=ROOT, check=True, stdout=subprocess.DEVNULL
    )
    return output.read_bytes()


@pytest.fixture(scope="module")
def sbom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sbom") / "sbom.cdx.json"
    made(path)
    return path


def test_it_is_valid_and_the_same_each_time(sbom: Path, tmp_path: Path) -> None:
    subprocess.run([TOOLS, "-c", VALIDATE, sbom], check=True)
    assert made(tmp_path / "again.json") == sbom.read_bytes()


def test_the_validation_refuses_what_is_no_cyclonedx(sbom: Path, tmp_path: Path) -> None:
    document = json.loads(sbom.read_text())
    document["components"][0]["type"] = "nothing of the kind"
    (tmp_path / "wrong.json").write_text(json.dumps(document))
    assert subprocess.run(
        [TOOLS, "-c", VALIDATE, tmp_path / "wrong.json"], stderr=subprocess.DEVNULL
    ).returncode


def test_it_has_every_pinned_component_with_its_digests_and_licence(sbom: Path) -> None:
    text = (ROOT / "constraints.txt").read_text()
    parts = re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE)
    pinned = {
        re.match(r"([^=\[]+)(?:\[.*\])?==(\S+)", part).groups(): set(
            re.findall(r"sha256:([0-9a-f]{64})", part)
        )
        for part in parts
        if "==" in part and not part.startswith("#")
    }
    found = {}
    for component in json.loads(sbom.read_text())["components"]:
        assert component["licenses"], component["name"]
        name = re.sub(r"[-_.]+", "-", component["name"]).lower()
        found[name, component["version"]] = {
            h["content"]
            for reference in component["externalReferences"]
            if reference["type"] == "distribution"
            for h in reference["hashes"]
        }
    assert found == pinned


def test_it_says_what_needs_what_and_names_no_registry(sbom: Path) -> None:
    document = json.loads(sbom.read_text())
    root = document["metadata"]["component"]
    assert (root["name"], root["licenses"][0]["license"]["id"]) == ("hostsweep", "Apache-2.0")
    graph = {d["ref"]: d.get("dependsOn", []) for d in document["dependencies"]}
    reached, todo = set(), [root["bom-ref"]]
    while todo:
        reference = todo.pop()
        if reference not in reached:
            reached.add(reference)
            todo += graph[reference]
    assert {c["bom-ref"] for c in document["components"]} == reached - {root["bom-ref"]}
    digests = [r for c in document["components"] for r in c["externalReferences"] if r.get("hashes")]
    assert all(r["url"].startswith("pkg:pypi/") for r in digests)
