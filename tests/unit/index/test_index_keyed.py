"""The key of lists: the form of stored digests is HMAC-SHA-256, whatever makes it."""

from __future__ import annotations

import hashlib
import hmac
import random

import pytest

from scanner.index import KEY_SIZE, ListKey
from scanner.index.keyed import Prekeyed, plain_record
from scanner.model.hashes import KINDS

# RFC 4231, test cases 1, 2, 3, 4, 6 and 7 (5 is of a cut output).
RFC_4231 = [
    (b"\x0b" * 20, b"Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
    (
        b"Jefe",
        b"what do ya want for nothing?",
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
    ),
    (b"\xaa" * 20, b"\xdd" * 50, "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"),
    (
        bytes(range(1, 26)),
        b"\xcd" * 50,
        "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b",
    ),
    (
        b"\xaa" * 131,
        b"Test Using Larger Than Block-Size Key - Hash Key First",
        "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
    ),
    (
        b"\xaa" * 131,
        b"This is a test using a larger than block-size key and a larger than block-size data."
        b" The key needs to be hashed before being used by the HMAC algorithm.",
        "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2",
    ),
]


@pytest.mark.parametrize(("key", "message", "digest"), RFC_4231)
@pytest.mark.parametrize("split", [0, 3])
def test_digests_are_those_of_rfc_4231(key: bytes, message: bytes, digest: str, split: int) -> None:
    keyed = Prekeyed(key, message[:split])
    for _ in range(2):  # a prepared key is not used up
        assert keyed.digest(message[split:]).hex() == digest


def test_an_interpreter_without_a_sha256_of_its_own_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr("scanner.index.keyed.importlib.import_module", missing)
    for key, message, digest in RFC_4231:
        assert Prekeyed(key).digest(message).hex() == digest


def test_a_stored_digest_is_the_beginning_of_an_hmac_of_kind_and_digest() -> None:
    rng = random.Random(1)
    secret = rng.randbytes(KEY_SIZE)
    key = ListKey(secret)
    for kind in [*(k for k in KINDS.values() if k.exact)]:
        values = [rng.randbytes(kind.size) for _ in range(5)]
        expected = [
            hmac.digest(secret, kind.name.encode() + v, "sha256")[: min(kind.size, 32)] for v in values
        ]
        assert [key.digest(kind.name, v) for v in values] == expected
        assert key.digests(kind.name, b"".join(values), kind.size) == b"".join(expected)
    assert key.digest("sha512", bytes(64)) == hmac.digest(secret, b"sha512" + bytes(64), "sha256")
    assert key.record("a\udc80") == hmac.digest(secret, b"record\0a\xed\xb2\x80", "sha256")[:16]
    assert plain_record("a") == hashlib.sha256(b"record\0a").digest()[:16]


def test_a_key_is_read_as_bytes_or_digits_and_never_shown() -> None:
    secret = bytes(range(32))
    key = ListKey.parse(secret)
    assert key == ListKey.parse(secret.hex().encode() + b"\n") == ListKey(secret)
    assert key != ListKey(bytes(32)) and key.id != ListKey(bytes(32)).id
    assert secret.hex() not in repr(key) and str(secret) not in repr(key)
    for wrong in (b"", bytes(31), bytes(33), b"zz" * 32, secret.hex()[:-2].encode(), "é".encode() * 32):
        with pytest.raises(ValueError, match="32 bytes or 64 hexadecimal digits") as caught:
            ListKey.parse(wrong)
        assert caught.value.__cause__ is None
