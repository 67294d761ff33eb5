"""OpenPGP's signatures, by gpgv in a confined process; keys are made by the tests. A test for each threat."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from scanner.app import App
from scanner.app.state import StateDirectory
from scanner.config import Config, FeedConfig
from scanner.feeds.published import published
from scanner.feeds.trust import Accepted, TrustTerms, verify_openpgp
from scanner.feeds.trust.errors import (
    BadSignatureError,
    KeyExpiredError,
    KeyRevokedError,
    RollbackError,
    SignatureFormError,
    SignatureMissingError,
    SubstitutionError,
    WeakSignatureError,
    WrongKeyError,
)
from scanner.feeds.trust.openpgp import fingerprint, public_keys, signature_packet, signer
from scanner.model.errors import ConfigError, FeedTrustError
from scanner.model.ports import SystemIds
from scanner.pipeline.feed_processes import FeedLimits, FeedProcesses
from scanner.pipeline.verify_process import loaders
from scanner.system import landlock

LIST = b"0123456789abcdef0123456789abcdef\n" * 100
SECOND, DAY = 10**9, 86_400 * 10**9
NOBODY = (65534, 65534)

needs_gpg = pytest.mark.skipif(
    shutil.which("gpg") is None or shutil.which("gpgv") is None or shutil.which("gpg-agent") is None,
    reason="needs gpg, gpg-agent and gpgv to make keys and to verify with them",
)


class Publisher:
    """gpg with a home of its own: a good key, one that expired, one that is revoked, one that nobody pins."""

    def __init__(self, home: Path) -> None:
        self.home = home
        (home / "list").write_bytes(LIST)
        self.good, self.expired, self.revoked, self.other = (
            self._key("good"),
            self._key("expired", "20200101T000000", "1d"),
            self._key("revoked"),
            self._key("other"),
        )
        self.keys = self.gpg("--export", self.good, self.expired, self.revoked)
        self.before = self.sign(key=self.revoked)
        self._revoke(self.revoked)
        self.after = self.gpg("--export", self.good, self.expired, self.revoked)

    def gpg(self, *arguments: str, feed: bytes = b"") -> bytes:
        done = subprocess.run(
            ["gpg", "--homedir", str(self.home), "--batch", "--quiet", "--no-tty", *arguments],
            input=feed, capture_output=True, timeout=60, check=True,
        )  # fmt: skip
        return done.stdout

    def _key(self, name: str, at: str = "", life: str = "0") -> str:
        when = ("--faked-system-time", at) if at else ()
        uid = f"{name}@example.invalid"
        self.gpg(*when, "--passphrase", "", "--quick-gen-key", uid, "ed25519", "sign", life)
        shown = self.gpg("--with-colons", "--list-keys", uid).decode().splitlines()
        return next(line.split(":")[9] for line in shown if line.startswith("fpr:"))

    def _revoke(self, key: str) -> None:
        file = self.home / "openpgp-revocs.d" / f"{key}.rev"
        self.gpg("--import", feed=file.read_bytes().replace(b":-----BEGIN", b"-----BEGIN"))

    def sign(self, *options: str, key: str = "", data: bytes = LIST, how: str = "--detach-sign") -> bytes:
        return self.gpg(*options, "-u", key or self.good, "-o", "-", how, feed=data)


@pytest.fixture(scope="module")
def publisher() -> Iterator[Publisher]:
    home = Path(tempfile.mkdtemp(prefix="gpg"))  # a short path: sockets have 108 characters for theirs
    home.chmod(0o700)
    yield Publisher(home)
    subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=False, capture_output=True)
    shutil.rmtree(home, ignore_errors=True)


async def believed(
    publisher: Publisher,
    tmp_path: Path,
    signature: bytes,
    data: bytes = LIST,
    *,
    pinned: frozenset[str] | None = None,
    keys: bytes = b"",
    last: Accepted | None = None,
    name: bool = False,
    user: tuple[int, int] | None = None,
) -> Accepted:
    work = tmp_path / "work"
    work.mkdir(mode=0o700, exist_ok=True)
    (tmp_path / "data").write_bytes(data)
    with (tmp_path / "data").open("rb") as file:
        processes = FeedProcesses(FeedLimits(user, 1 << 30, 60), SystemIds())
        code, status = await processes.ask_gpgv(
            signature_packet(signature), public_keys(keys or publisher.keys), file.fileno(), work
        )
        whole = published(file.fileno())
    assert not list(work.iterdir())
    terms = TrustTerms("police", "list.json", 30 * DAY, require_name=name)
    return verify_openpgp(
        whole, signature, status, code, pinned or frozenset({publisher.good}), last, time.time_ns(), terms
    )


@needs_gpg
@pytest.mark.parametrize("user", [None, pytest.param(NOBODY, marks=pytest.mark.root)])
async def test_a_detached_signature_by_a_pinned_key_is_believed(
    publisher: Publisher, tmp_path: Path, user: tuple[int, int] | None
) -> None:
    said = ("--sig-notation", "serial@hostsweep=42", "--sig-notation", "feed@hostsweep=police")
    for options in (said, (*said, "--armor")):
        signature = publisher.sign(*options)
        found = await believed(publisher, tmp_path, signature, user=user, name=True)
        assert (found.kind, found.key, found.serial) == ("openpgp", publisher.good, 42)
        assert found.digest == hashlib.blake2b(LIST).hexdigest()
    armoured = publisher.gpg("--armor", "--export", publisher.good)
    assert (await believed(publisher, tmp_path, signature, keys=armoured)).serial == 42


@needs_gpg
async def test_what_gpgv_lets_pass_and_we_do_not(publisher: Publisher, tmp_path: Path) -> None:
    """gpgv itself ends with 0 for an expired key and for SHA-1."""
    past = ("--faked-system-time", "20200101T100000")
    with pytest.raises(KeyExpiredError):
        everybody = frozenset({publisher.good, publisher.expired, publisher.revoked})
        await believed(publisher, tmp_path, publisher.sign(*past, key=publisher.expired), pinned=everybody)
    with pytest.raises(WeakSignatureError):
        signature_packet(publisher.sign("--digest-algo", "SHA1"))
    with pytest.raises(WeakSignatureError, match="over text"):
        signature_packet(publisher.sign("--textmode"))
    loopback = ("--passphrase", "", "--pinentry-mode", "loopback")
    with pytest.raises(ConfigError):  # a secret key is no key to pin
        public_keys(publisher.gpg("--export-secret-keys", *loopback, publisher.good))


@needs_gpg
async def test_a_key_that_its_owner_revoked_signs_nothing(publisher: Publisher, tmp_path: Path) -> None:
    pinned = frozenset({publisher.revoked})
    with pytest.raises(KeyRevokedError):
        await believed(publisher, tmp_path, publisher.before, pinned=pinned, keys=publisher.after)
    assert (await believed(publisher, tmp_path, publisher.before, pinned=pinned)).key == publisher.revoked


@needs_gpg
async def test_other_bytes_other_keys_and_old_lists_are_refused(publisher: Publisher, tmp_path: Path) -> None:
    signature = publisher.sign()
    for changed in (LIST[:-1], LIST + b"\n", b"", LIST[33:]):
        with pytest.raises(BadSignatureError):
            await believed(publisher, tmp_path, signature, changed)
    with pytest.raises(WrongKeyError, match=publisher.other):  # not among the keys
        await believed(publisher, tmp_path, publisher.sign(key=publisher.other))
    with pytest.raises(WrongKeyError, match=publisher.good):  # among them, and not pinned
        await believed(publisher, tmp_path, signature, pinned=frozenset({publisher.other}))
    with pytest.raises(SubstitutionError, match="does not say"):
        await believed(publisher, tmp_path, signature, name=True)
    with pytest.raises(SubstitutionError, match="benign"):
        await believed(publisher, tmp_path, publisher.sign("--sig-notation", "feed@hostsweep=benign"))
    first = await believed(publisher, tmp_path, signature)
    later = Accepted("openpgp", first.key, first.signed_ns + SECOND, None, "", "")
    with pytest.raises(RollbackError):
        await believed(publisher, tmp_path, signature, last=later)


@needs_gpg
def test_what_is_not_one_detached_signature_never_reaches_gpgv(publisher: Publisher) -> None:
    signature = publisher.sign()
    armoured = publisher.sign("--armor")
    for raw in (
        signature + signature,
        signature[:-1],
        signature + b"\0",
        armoured + b"x",
        armoured + armoured,
        b"x\n" + armoured,
        armoured.replace(b"SIGNATURE", b"MESSAGE"),
        publisher.sign(how="--sign"),
        publisher.sign(how="--clear-sign"),
        publisher.gpg("--export", publisher.good),
        b"\xc2\xff\xff\xff\xff\xff" + bytes(64),  # a packet of 4 GiB
        b"\xc2\xe1" + bytes(64),  # one in parts without end
        b"\x8b" + bytes(64),  # one that goes on to the end of the file
        b"\x89\x00\x00" * 100,
        bytes(1 << 20),
        b"\x88",
        b"-----BEGIN PGP SIGNATURE-----\n\n-----END PGP SIGNATURE-----",
        b"-----BEGIN PGP SIGNATURE-----",
    ):
        with pytest.raises(SignatureFormError):
            signature_packet(raw)
    with pytest.raises(SignatureMissingError):
        signature_packet(b"")


CONFINED = """
import os, sys
from scanner.pipeline.feed_confinement import Confinement, enter
programs = sys.argv[2:]
enter(Confinement(os.getppid(), None, 1 << 30, 60, 1 << 20), network=False, programs=programs)
for attempt in (lambda: os.execv("/bin/sh", ["sh", "-c", "echo got out"]), os.fork):
    try:
        attempt()
    except OSError:
        continue
    print("not refused")
os.execve(programs[0], [programs[0], "mine", sys.argv[1]], {})
"""


@pytest.mark.skipif(not landlock.abi(), reason="this kernel has no Landlock")
def test_a_process_that_may_become_one_program_becomes_no_other_and_stays_confined(tmp_path: Path) -> None:
    cat, outside, inside = shutil.which("cat"), tmp_path / "secret", tmp_path / "in"
    assert cat is not None
    inside.mkdir()
    outside.write_text("secret")
    (inside / "mine").write_text("mine")
    done = subprocess.run(
        [sys.executable, "-c", CONFINED, str(outside), os.path.realpath(cat), *loaders()],
        cwd=inside, capture_output=True, text=True, timeout=60, env={"PYTHONPATH": str(Path.cwd())},
    )  # fmt: skip
    assert (done.stdout, done.returncode) == ("mine", 1)
    assert "Permission denied" in done.stderr


FPR, SUB = "A" * 40, "B" * 40
VALID = f"[GNUPG:] VALIDSIG {SUB} 2026-01-01 1767225600 0 4 0 22 8 00 {FPR}\n"
GOOD = "[GNUPG:] NEWSIG\n[GNUPG:] GOODSIG AAAA x\n" + VALID


@pytest.mark.parametrize(
    "status,error",
    [
        ("", SignatureFormError),
        ("[GNUPG:] NODATA 4\n", SignatureFormError),
        (VALID, SignatureFormError),  # valid by an expired key: no GOODSIG
        (GOOD + GOOD, SignatureFormError),
        (GOOD + "[GNUPG:] BADSIG AAAA x\n", BadSignatureError),
        (GOOD.replace("GOODSIG", "EXPKEYSIG"), KeyExpiredError),
        (GOOD.replace("GOODSIG", "EXPSIG"), KeyExpiredError),
        (GOOD.replace("GOODSIG", "REVKEYSIG"), KeyRevokedError),
        (GOOD.replace("22 8 00", "22 2 00"), WeakSignatureError),  # SHA-1
        (GOOD.replace("22 8 00", "17 8 00"), WeakSignatureError),  # DSA
        (GOOD.replace("22 8 00", "22 8 01"), WeakSignatureError),  # over text
        (f"[GNUPG:] ERRSIG AAAA 22 8 00 1767225600 9 {SUB}\n", WrongKeyError),
        ("[GNUPG:] ERRSIG AAAA 99 8 00 1767225600 4 -\n", WeakSignatureError),
        (GOOD.replace(FPR, "C" * 40).replace(SUB, "D" * 40), WrongKeyError),
        (GOOD.replace("1767225600", "yesterday"), SignatureFormError),
        ("[GNUPG:] VALIDSIG\n[GNUPG:] GOODSIG\n", SignatureFormError),
        ("x" * (65 << 10), SignatureFormError),
        (
            GOOD + "[GNUPG:] NOTATION_NAME serial@hostsweep\n[GNUPG:] NOTATION_DATA 1\n" * 2,
            SignatureFormError,
        ),
    ],
)
def test_status_lines_that_are_not_plainly_good_are_refused(status: str, error: type[FeedTrustError]) -> None:
    with pytest.raises(error):
        signer(status.encode(), 0, {FPR})


def test_status_lines_of_one_good_signature_are_read() -> None:
    assert signer(GOOD.encode(), 0, {FPR}).key == signer(GOOD.encode(), 0, {SUB}).key == FPR
    said = "[GNUPG:] NOTATION_NAME {}\n[GNUPG:] NOTATION_FLAGS 0 1\n[GNUPG:] NOTATION_DATA {}\n"
    told = GOOD + said.format("feed@hostsweep", "a%20b") + said.format("serial@hostsweep", "4")
    claims = signer(
        (told + said.format("feed@example.org", "no") + said.format("x@hostsweep", "no")).encode(), 0, {FPR}
    ).claims
    assert (claims.feed, claims.serial, claims.signed_ns) == ("a b", 4, 1767225600 * SECOND)
    with pytest.raises(SignatureFormError):
        signer(GOOD.encode(), 2, {FPR})


def test_a_fingerprint_is_written_in_full() -> None:
    assert fingerprint("AAAA " * 10) == fingerprint("0x" + "a" * 40) == FPR
    for short in ("", "24BDA2E38C1B258F", "Z" * 40, "A" * 41):
        with pytest.raises(ConfigError):
            fingerprint(short)


@needs_gpg
async def test_a_list_that_is_encrypted_and_signed_comes_all_the_way(
    publisher: Publisher, tmp_path: Path
) -> None:
    """By real processes: fetched, verified by gpgv over what was published, decrypted where it is read."""
    pyrage = pytest.importorskip("pyrage", reason="needs pyrage, of the extra hostsweep[age]")
    identity = pyrage.x25519.Identity.generate()
    place, keys, secret = (tmp_path / name for name in ("list.age", "keys.gpg", "identity"))
    place.write_bytes(pyrage.encrypt(LIST, [identity.to_public()]))
    (tmp_path / "list.age.asc").write_bytes(publisher.sign("--armor", data=place.read_bytes()))
    keys.write_bytes(publisher.gpg("--export", publisher.good))
    secret.write_text(f"{identity}\n")
    secret.chmod(0o600)
    signature = {"kind": "openpgp", "keys": (publisher.good,), "key_files": (keys,), "require_name": False}
    feed = FeedConfig.model_validate(
        {"name": "police", "url": f"file://{place}", "identity_file": secret, "signature": signature}
    )
    app = App(Config(feeds=(feed,)), StateDirectory(tmp_path / "state", tmp_path / "state" / "quarantine"))
    app.state.prepare()
    assert (await app.sync_feed("police")).entries == 100
    state = app.keeper.store.state("police")
    assert state.trust["key"] == publisher.good
    assert state.source_sha256 == hashlib.sha256(place.read_bytes()).hexdigest()
    # Signed anew without a change: gpgv needs the list itself, so it is fetched once more, and not imported.
    said = ("--sig-notation", "serial@hostsweep=2")
    (tmp_path / "list.age.asc").write_bytes(publisher.sign(*said, data=place.read_bytes()))
    assert (await app.sync_feed("police")).result == "not_modified"
    assert app.keeper.store.state("police").trust["serial"] == 2
    (tmp_path / "list.age.asc").write_bytes(publisher.sign(data=LIST))  # of what is in it
    with pytest.raises(BadSignatureError):
        await app.sync_feed("police")
