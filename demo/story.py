"""The story: files, a list, a scan, a mistake put right, another scan."""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from demo.listed import LISTED, hash_list
from demo.server import ListServer
from demo.stage import DemoFailed, Stage
from demo.tree import BROKEN, FALSE_POSITIVE, HARMLESS, IN_MAIL, Planted, Tree, make_tree
from scanner.feeds.trust.signing import comment, make_key_pair, sign_bytes

__all__ = ["Story"]

_SHOWN_AS = b"/srv/www/"
_CONFIG = """\
volumes:
  - name: web
    path: {directory}/www
    shown_as: /srv/www                  # what reports call it
    customer: /srv/www/{{customer}}/
feeds:
  - name: police
    url: {url}
    polarity: illegal
    categories: [1, 2]                  # the publisher's own; anything else never acts
    signature:                          # a list that this key has not signed is never loaded
      kind: minisign
      keys: [{key}]
quarantine: {{reserve: 16MiB}}
state_directory: {directory}/state
"""
_METRICS = (
    "hostsweep_files_total{",
    "hostsweep_hits_total{",
    "hostsweep_exposure_seconds_count",
    "hostsweep_quarantine_items",
)
# Seconds by the inode's ctime after which a file's change can't hide behind the clock's step; see `_wait`.
_SETTLED = 2.5


class Story:
    """Tells and checks one run in a directory of its own.

    Args:
        directory: empty, absolute; everything is made in it.
        server: where the sample list is published.
        stage: tells, runs and keeps book.
    """

    def __init__(self, directory: Path, server: ListServer, stage: Stage) -> None:
        self._directory = directory
        self._server = server
        self._stage = stage
        self._key = make_key_pair()
        self._serial = 0

    def tell(self) -> bool:
        """The whole story; returns whether everything happened as it has to.

        Raises:
            DemoFailed: some command failed, so that it can't go on.
        """
        tree = self._make_files()
        self._publish()
        self._sync()
        before = self._count()
        self._scan(tree, before)
        case = self._look(tree)
        self._put_right(tree, case)
        self._scan_again(tree, before)
        self._stage.heading("Was everything as it has to be?")
        return self._stage.verdict()

    # 1

    def _make_files(self) -> Tree:
        stage = self._stage
        stage.heading("A web server's storage in small")
        tree = make_tree(self._directory / "www")
        kinds = tree.kinds
        stage.say(
            f"{kinds.total()} files of six customers: {kinds['photographs']} photographs, "
            f"{kinds['drawings']} drawings, {kinds['pages']} pages and scripts, "
            f"{kinds['mails']} private mails, {kinds['copies']} copies, a broken JPEG; a pipe and a link. "
            f"Among them {len(tree.planted)} files with a picture that is on the list (a cat, a rocket, "
            "a banner, a coffee cup), not all of them easy:"
        )
        for at in tree.planted:
            stage.show(f"{_printable(at.path):<50} {at.picture.name:<11} {at.how}")
        return tree

    # 2

    def _publish(self) -> None:
        stage = self._stage
        stage.heading("A hash list, signed and published over HTTP")
        self._write("config.yaml", self._config(self._directory).encode())
        content = hash_list(self._pdq())
        self._server.publish(content, self._signature(content))
        lines = content.decode().splitlines()
        stage.say(
            f"{len(lines) - 1:,} entries, SHA-256 and PDQ. SYN-1005 (an astronaut) is of category 0: the "
            f"publisher saw it and found it harmless. It is there too: {_printable(HARMLESS)}"
        )
        for line in lines[:6]:
            entry, exact, near, category = line.split(",")
            stage.show(f"{entry},{_cut(exact)},{_cut(near)},{category}")
        stage.say("config.yaml, the whole of it:")
        stage.show(self._config("/tmp/…"))

    def _config(self, directory: Path | str) -> str:
        key = self._key.public.encoded()
        return _CONFIG.format(directory=directory, url=self._server.url, key=key)

    def _signature(self, content: bytes) -> bytes:
        self._serial += 1
        return sign_bytes(self._key, content, comment("police", self._serial, time.time_ns()))

    def _pdq(self) -> dict[str, str]:
        """PDQ of the listed pictures, as an operator gets it: from `hostsweep check`."""
        paths = {p.entry: f"publisher/{p.name}" for p in LISTED}
        for picture in LISTED:
            self._write(paths[picture.entry], picture.data)
        answers = {a["name"]: a for a in self._stage.ask("check", *paths.values())}
        return {
            entry: next(p["value"] for p in answers[path]["perceptual"] if p["kind"] == "pdq")
            for entry, path in paths.items()
        }

    # 3

    def _sync(self) -> None:
        stage = self._stage
        stage.heading("Fetch the list; ask again, and nothing is sent twice")
        stage.run("feed", "sync")
        stage.run("feed", "sync")
        stage.claim("the list was sent once, then answered with 304", self._server.statuses == (200, 304))
        stage.heading("Somebody changes the list on its way")
        content = hash_list(self._pdq())
        self._server.publish(content + b"SYN-9999," + b"e" * 64 + b",,1\n", self._signature(content))
        stage.run("feed", "sync", status=2)
        (feed,) = stage.ask("feed", "show", "police")
        stage.claim(
            "a list that is not the signed one is refused, and the last good one stays in use",
            sum(feed["refusals"].values()) == 1 and feed["entries"] == 5005,
        )
        self._server.publish(content, self._signature(content))
        stage.run("feed", "sync")

    # 4

    def _scan(self, tree: Tree, before: int) -> None:
        stage = self._stage
        stage.heading("Scan, and secure what is listed")
        stage.run("scan", "www", "--quarantine", "--metrics-file", "hostsweep.prom", status=1)
        stage.say("Exit code 1: hits. Every file ended in exactly one of these lines.")
        counts, cases = self._last_scan(), {_place(c): c for c in self._stage.ask("hits", "list")}
        wanted = {at.path: at for at in tree.planted}
        stage.claim(
            f"all {len(wanted)} listed pictures were found, disguised and altered ones too",
            wanted.keys() <= cases.keys(),
        )
        stage.claim("nothing else was taken for a hit, nor was category 0", cases.keys() <= wanted.keys())
        stage.claim(
            "private mail was left out and counted",
            counts["skipped"].get("mail_store") == tree.kinds["mails"],
        )
        stage.claim(
            "each was found for the right reason: SHA-256 where equal, PDQ where altered",
            all(_reason_fits(wanted[path], case) for path, case in cases.items() if path in wanted),
        )
        stage.claim(
            "each is gone from its place, the mail is not",
            not any(os.path.lexists(tree.at(path)) for path in wanted) and os.path.lexists(tree.at(IN_MAIL)),
        )
        stage.claim(f"files met = what `find -type f` counts ({before})", counts["files"] == before)
        stage.claim("files met = matched + clean + unchanged + failed + skipped", _balanced(counts))
        stage.claim("the broken JPEG failed, and is not called clean", counts["failed"] == {"undecodable": 1})

    def _last_scan(self) -> dict[str, Any]:
        counts: dict[str, Any] = self._stage.ask("status")[0]["volumes"][0]["counts"]
        return counts

    def _count(self) -> int:
        """What `find` counts: a witness that knows nothing of hostsweep."""
        command = ("find", "www", "-type", "f", "-printf", "x")
        return len(subprocess.run(command, cwd=self._directory, check=True, capture_output=True).stdout)

    # 5

    def _look(self, tree: Tree) -> dict[str, Any]:
        stage = self._stage
        stage.heading("One case, and some of the metrics")
        case = next((c for c in stage.ask("hits", "list") if _place(c) == FALSE_POSITIVE), None)
        if case is None:
            raise DemoFailed(f"{_printable(FALSE_POSITIVE)} was not found")
        stage.run("hits", "show", case["id"])
        stage.say("hostsweep.prom, for node_exporter's textfile collector:")
        for line in self._metrics():
            stage.show(line)
        return case

    def _metrics(self) -> Iterator[str]:
        for line in (self._directory / "hostsweep.prom").read_text().splitlines():
            if line.startswith(_METRICS) and not line.endswith(" 0.0"):
                yield line

    # 6

    def _put_right(self, tree: Tree, case: dict[str, Any]) -> None:
        stage = self._stage
        stage.heading("A mistake, put right")
        stage.say("Suppose the police say: this is a coffee cup. The file goes back, and stays.")
        note = "police, by phone: a coffee cup"
        stage.run("hits", "resolve", case["id"], "--as", "false-positive", "--note", note)
        path = tree.at(FALSE_POSITIVE)
        stage.claim(
            "the false positive is back in its place, byte for byte",
            path.is_file() and _sha256(path) == case["digests"]["sha256"],
        )
        stage.claim("… with its time of change", path.is_file() and _iso(path) == case["modified"])
        stage.run("quarantine", "verify")
        report = stage.ask("quarantine", "verify")[0]
        stage.claim(
            "the vault's content is what was hashed, and the ledger's chain is whole",
            report["items"] == len(tree.planted) and not report["problems"] and report["ledger"]["ok"],
        )

    # 7

    def _scan_again(self, tree: Tree, before: int) -> None:
        stage = self._stage
        stage.heading("Scan again: what did not change is not read again")
        _wait(tree)
        stage.run("scan", "www", "--quarantine", status=3)
        stage.say(
            "Only the restored file was read, and left alone: it was said to be a false positive. "
            f"Exit code 3: nothing found, but {_printable(BROKEN)} could not be looked into, "
            "and what could not be looked into is never called clean."
        )
        counts, secured = self._last_scan(), len(tree.planted) - 1
        stage.claim("the second scan read one file, the restored one", counts["hashed"] == 1)
        stage.claim("… and found nothing", counts["matched"] == 0 and tree.at(FALSE_POSITIVE).is_file())
        now = self._count()
        stage.claim(f"{before} files before, {secured} secured, {now} there now", now == before - secured)
        stage.claim("the second scan met them all", counts["files"] == now and _balanced(counts))

    def _write(self, name: str, data: bytes) -> None:
        path = self._directory / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)


def _place(case: dict[str, Any]) -> bytes:
    """A case's path below the root, as the bytes that it is."""
    encoded = case.get("path_base64")
    path = base64.b64decode(encoded) if encoded else str(case["path"]).encode()
    return path.removeprefix(_SHOWN_AS)


def _reason_fits(at: Planted, case: dict[str, Any]) -> bool:
    match = case["match"]
    return bool(match["entry"] == at.picture.entry and match["kind"] == ("sha256" if at.exact else "pdq"))


def _balanced(counts: dict[str, Any]) -> bool:
    ended = counts["matched"] + counts["clean"] + counts["unchanged"] + counts["errors"]
    return bool(counts["files"] == ended + sum(counts["skipped"].values()))


def _wait(tree: Tree) -> None:
    """Wait until the files are old enough for an unchanged ctime to mean an unchanged file.

    A file that changed within the last two seconds is read again at the next scan whatever its times say:
    another change in the same step of the kernel's clock would not show.
    """
    last = max(os.stat(os.path.join(d, f), follow_symlinks=False).st_ctime
               for d, _, files in os.walk(tree.root) for f in files)  # fmt: skip
    time.sleep(max(0.0, last + _SETTLED - time.time()))


def _sha256(path: Path) -> str:
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def _iso(path: Path) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(path.stat().st_mtime))


def _printable(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace").replace("\n", "\\n")


def _cut(digits: str) -> str:
    return f"{digits[:12]}…" if digits else ""
