"""Lists that are encrypted with age: whole, or not at all."""

from __future__ import annotations

import gzip
import hashlib
import threading
from pathlib import Path

import pytest

pyrage = pytest.importorskip("pyrage", reason="needs pyrage, of the extra hostsweep[age]")

from scanner.feeds import FormatOptions, import_list  # noqa: E402 - after what may skip them all
from scanner.feeds.decrypting import Decrypted, read_identities  # noqa: E402
from scanner.model.errors import ConfigError, FeedFormatError, FeedRefusedError  # noqa: E402
from scanner.model.feeds import Item  # noqa: E402

OURS, OTHERS = pyrage.x25519.Identity.generate(), pyrage.x25519.Identity.generate()
PLAIN = b"".join(hashlib.sha256(b"%d" % n).hexdigest().encode() + b"  x\n" for n in range(4000))  # 268 kB


def sealed(data: bytes = PLAIN, armored: bool = False) -> bytes:
    recipients = [OURS.to_public(), OTHERS.to_public()]
    return bytes(pyrage.encrypt(data, recipients, armored=armored))


def entries(tmp_path: Path, data: bytes, identities: str = str(OURS), **limits: int) -> int:
    (tmp_path / "list").write_bytes(data)
    items: list[Item] = []
    result = import_list(
        tmp_path / "list", "plain", FormatOptions(), items.append, identities=identities, **limits
    )
    assert result.sha256 == hashlib.sha256(data).hexdigest()  # of what was published, and signed
    return result.counts.entries


def test_an_encrypted_list_is_read_like_the_list_itself(tmp_path: Path) -> None:
    assert entries(tmp_path, sealed()) == entries(tmp_path, PLAIN, "") == 4000
    assert entries(tmp_path, sealed(gzip.compress(PLAIN))) == entries(tmp_path, sealed(armored=True)) == 4000
    assert entries(tmp_path, sealed(), f"{OTHERS}\n{OURS}") == 4000


@pytest.mark.parametrize("left", [0, 10, 200, 300, 65_536, -65_552, -67 * 100, -17, -1])
def test_a_list_that_was_cut_anywhere_is_no_shorter_list(tmp_path: Path, left: int) -> None:
    whole = sealed()
    with pytest.raises(FeedFormatError, match="can't be decrypted"):
        entries(tmp_path, whole[: left if left >= 0 else len(whole) + left] or b"a")


@pytest.mark.parametrize("at", [3, 60, 250, 70_000, -1])
def test_a_changed_byte_is_found(tmp_path: Path, at: int) -> None:
    changed = bytearray(sealed())
    changed[at] ^= 1
    with pytest.raises(FeedFormatError):
        entries(tmp_path, bytes(changed))


def test_what_is_not_for_us_or_not_encrypted_is_refused(tmp_path: Path) -> None:
    stranger = pyrage.x25519.Identity.generate()
    for data, who in (
        (sealed(), str(stranger)),
        (PLAIN, str(OURS)),
        (sealed() + b"x", str(OURS)),
        (sealed() * 2, str(OURS)),
    ):
        with pytest.raises(FeedFormatError) as caught:
            entries(tmp_path, data, who)
        assert who not in str(caught.value)
    for data in (sealed(), sealed(armored=True)):
        with pytest.raises(FeedRefusedError, match="identity_file"):
            entries(tmp_path, data, "")


def test_neither_a_header_nor_a_list_without_end_is_taken(tmp_path: Path) -> None:
    with pytest.raises(FeedFormatError):
        entries(tmp_path, b"age-encryption.org/v1\n-> X25519 " + b"A" * (2 << 20))
    bomb = sealed(gzip.compress(b"#" * (4 << 20)))
    with pytest.raises(FeedRefusedError, match="unpacked"):
        entries(tmp_path, bomb, max_bytes=1 << 20)
    with pytest.raises(FeedRefusedError, match="the list has more"):
        entries(tmp_path, sealed(), max_bytes=100_000)


def test_nobody_goes_on_decrypting_when_nobody_reads() -> None:
    import io

    stream = Decrypted(io.BytesIO(sealed(bytes(1 << 22))), str(OURS))
    assert stream.read(10) == bytes(10)
    stream.close()
    for thread in threading.enumerate():
        if thread.name == "age":
            thread.join(30)
    assert "age" not in [t.name for t in threading.enumerate()]


def test_identities_come_from_a_file_and_are_never_told(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(f"# created: today\n# public key: {OURS.to_public()}\n{OURS}\n")
    assert read_identities(file) == str(OURS)
    for text in ("", "# nothing\n", f"{OURS}\nsecret\n", "é", "AGE-SECRET-KEY-1" * 5000):
        file.write_text(text)
        with pytest.raises(ConfigError) as caught:
            read_identities(file)
        assert "AGE-SECRET-KEY-1A" not in str(caught.value) and "secret\n" not in str(caught.value)
    with pytest.raises(ConfigError, match="damaged"):
        entries(tmp_path, sealed(), str(OURS)[:-1] + "X")
