"""What can be done to a signed list, one test for each threat: `docs/trust.md` has the table."""

from __future__ import annotations

import base64
import hashlib
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from scanner.feeds.trust import (
    Accepted,
    PublicKey,
    Published,
    TrustTerms,
    needs_content,
    parse_public_key,
    parse_signature,
    pinned,
    still_fresh,
    verify,
)
from scanner.feeds.trust.errors import (
    BadSignatureError,
    CommentTamperedError,
    EquivocationError,
    FastForwardError,
    FrozenError,
    FutureError,
    RollbackError,
    SignatureFormError,
    SignatureMissingError,
    SubstitutionError,
    WeakSignatureError,
    WrongKeyError,
)
from scanner.feeds.trust.rules import MAX_LEAP, MAX_SERIAL, TOLERANCE_NS, claims_of, iso
from scanner.feeds.trust.signing import KeyPair, comment, make_key_pair, read_secret_file, sign_bytes
from scanner.model.errors import ConfigError, FeedTrustError

SECOND = 10**9
NOW = 1_790_000_000 * SECOND
DAY = 86_400 * SECOND
LIST = b"# list\n" + b"0123456789abcdef0123456789abcdef\n" * 3
KEY = make_key_pair(lambda n: bytes(range(n)))
OTHER = make_key_pair(lambda n: bytes(range(100, 100 + n)))
TERMS = TrustTerms(feed="police", file="list.txt", max_age_ns=30 * DAY)


def signed(
    data: bytes = LIST, serial: int = 7, at: int = NOW, feed: str = "police", key: KeyPair = KEY
) -> bytes:
    return sign_bytes(key, data, comment(feed, serial, at))


def believed(
    signature: bytes,
    data: bytes = LIST,
    *,
    keys: tuple[PublicKey, ...] = (KEY.public,),
    last: Accepted | None = None,
    now: int = NOW,
    terms: TrustTerms = TERMS,
) -> Accepted:
    published = Published(hashlib.blake2b(data).digest(), data)
    return verify(published, signature, pinned(keys), last, now, terms)


def accepted(serial: int | None = 7, at: int = NOW, data: bytes = LIST, key: KeyPair = KEY) -> Accepted:
    return Accepted("minisign", key.public.name, at, serial, hashlib.blake2b(data).hexdigest(), "")


def legacy(key: KeyPair, data: bytes, said: str) -> bytes:
    """As minisign before 0.6: over the list itself."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    secret = Ed25519PrivateKey.from_private_bytes(key.seed)
    made = secret.sign(data)
    lines = (
        b"untrusted comment: x",
        base64.b64encode(b"Ed" + key.key_id + made),
        b"trusted comment: " + said.encode(),
        base64.b64encode(secret.sign(made + said.encode())),
    )
    return b"\n".join(lines) + b"\n"


def test_a_list_signed_by_a_pinned_key_is_believed_and_what_was_said_is_remembered() -> None:
    found = believed(signed())
    assert (found.kind, found.key, found.serial, found.signed_ns) == (
        "minisign",
        KEY.public.name,
        7,
        NOW,
    )
    assert found.digest == hashlib.blake2b(LIST).hexdigest()
    assert believed(signed(), last=found) == found  # the same list once more
    assert believed(signed(b"next", serial=8), b"next", last=found).serial == 8


def test_several_keys_may_be_pinned_while_one_takes_over_from_another() -> None:
    both = (KEY.public, OTHER.public)
    last = believed(signed(), keys=both)
    assert believed(signed(serial=8, key=OTHER), keys=both, last=last).key == OTHER.public.name


# Other bytes than those that were signed


@pytest.mark.parametrize(
    "changed",
    [b"arbitrary\n", LIST[:-33], LIST[:-1], LIST + b"\n", LIST + LIST, b"", LIST.replace(b"0", b"1", 1)],
    ids=[
        "arbitrary list",
        "cut between records",
        "cut by a byte",
        "trailing byte",
        "twice",
        "empty",
        "a bit",
    ],
)
def test_a_list_of_other_bytes_than_were_signed_is_refused(changed: bytes) -> None:
    with pytest.raises(BadSignatureError):
        believed(signed(), changed)
    with pytest.raises(BadSignatureError):
        believed(legacy(KEY, LIST, comment("police", 1, NOW)), changed)


def test_a_feed_with_keys_does_not_take_a_list_without_a_signature() -> None:
    with pytest.raises(SignatureMissingError):
        believed(b"")


def test_a_signature_of_an_other_list_is_refused() -> None:
    with pytest.raises(BadSignatureError):
        believed(signed(b"other list"))


# Keys


def test_a_key_that_is_not_pinned_signs_nothing() -> None:
    with pytest.raises(WrongKeyError, match=OTHER.public.name):
        believed(signed(key=OTHER))
    with pytest.raises(WrongKeyError):  # revoked: it was taken out of the configuration
        believed(signed(), keys=(OTHER.public,))


def test_the_id_of_a_pinned_key_on_an_other_key_is_no_key() -> None:
    masked = KeyPair(KEY.key_id, OTHER.seed)
    with pytest.raises(BadSignatureError):
        believed(signed(key=masked))
    with pytest.raises(WrongKeyError):  # and the right key under an id that is not pinned
        believed(signed(key=KeyPair(OTHER.key_id, KEY.seed)))
    with pytest.raises(ConfigError, match="two different keys"):
        pinned((KEY.public, masked.public))


def test_a_key_of_a_degenerate_point_verifies_nothing() -> None:
    """With the neutral point as key, and zeros as signature, careless verifiers accept any message."""
    for raw in (b"\1" + bytes(31), bytes(32), b"\xec" + b"\xff" * 30 + b"\x7f"):
        weak = PublicKey(KEY.key_id, raw)
        lines = signed().split(b"\n")
        for zeros in (bytes(64), b"\1" + bytes(63)):
            lines[1] = base64.b64encode(b"ED" + KEY.key_id + zeros)
            with pytest.raises(FeedTrustError):
                believed(b"\n".join(lines), keys=(weak,))


# What is said of the list


def test_the_trusted_comment_can_not_be_changed() -> None:
    honest = signed(serial=7)
    for old, new in ((b"serial:7", b"serial:8"), (b"feed:police", b"feed:other"), (b" time:", b"  time:")):
        with pytest.raises(CommentTamperedError):
            believed(honest.replace(old, new))
    with pytest.raises(CommentTamperedError):  # the global signature of another list of the same key
        believed(b"\n".join([*honest.split(b"\n")[:2], *signed(b"other", 9).split(b"\n")[2:]]))
    assert (
        believed(honest.replace(b"untrusted comment: hostsweep", b"untrusted comment: anything")).serial == 7
    )


def test_the_signed_list_of_an_other_feed_is_no_list_of_this_one() -> None:
    with pytest.raises(SubstitutionError, match=r"signed as feed 'benign'.*signature\.feed"):
        believed(signed(feed="benign"))
    by_name = "timestamp:1790000000\tfile:{}\thashed"
    with pytest.raises(SubstitutionError, match=r"file 'benign\.txt'"):
        believed(sign_bytes(KEY, LIST, by_name.format("benign.txt")))
    assert believed(sign_bytes(KEY, LIST, by_name.format("list.txt"))).serial is None
    with pytest.raises(SubstitutionError):  # one right word does not make up for a wrong one
        believed(sign_bytes(KEY, LIST, f"feed:police file:benign.txt time:{iso(NOW)}"))


def test_a_list_that_does_not_say_whose_it_is_is_refused_unless_the_operator_wants_it() -> None:
    nameless = sign_bytes(KEY, LIST, f"serial:1 time:{iso(NOW)}")
    with pytest.raises(SubstitutionError, match="does not say"):
        believed(nameless)
    assert believed(nameless, terms=replace(TERMS, require_name=False)).serial == 1


def test_the_name_of_a_file_says_nothing_where_lists_have_no_name_of_their_own() -> None:
    """In a drop folder each list has another one, and who puts a list there chooses it."""
    folder = replace(TERMS, file="")
    by_name = f"timestamp:{NOW // SECOND}\tfile:list.txt\thashed"
    with pytest.raises(SubstitutionError, match="does not say"):
        believed(sign_bytes(KEY, LIST, by_name), terms=folder)
    assert believed(sign_bytes(KEY, LIST, f"{by_name}\tfeed:police"), terms=folder).serial is None
    with pytest.raises(SubstitutionError):
        believed(signed(feed="benign"), terms=folder)


def test_an_old_list_can_not_come_back() -> None:
    with pytest.raises(RollbackError):
        believed(signed(b"old", serial=6), b"old", last=accepted(7))
    with pytest.raises(RollbackError):  # whatever its time says
        believed(signed(b"old", serial=6, at=NOW + SECOND), b"old", last=accepted(7))
    by_time = sign_bytes(KEY, b"old", f"feed:police timestamp:{NOW // SECOND - 60}")
    with pytest.raises(RollbackError, match="its time is lower"):
        believed(by_time, b"old", last=accepted(None))


def test_a_list_can_not_be_rolled_back_by_leaving_the_serial_out() -> None:
    serialless = sign_bytes(KEY, b"old", f"feed:police time:{iso(NOW)}")
    with pytest.raises(RollbackError, match="no serial"):
        believed(serialless, b"old", last=accepted(7))
    with pytest.raises(RollbackError, match="no serial"):
        believed(serialless, b"old", terms=replace(TERMS, require_serial=True))


def test_two_lists_with_one_serial_or_one_time_are_not_both_believed() -> None:
    with pytest.raises(EquivocationError):
        believed(signed(b"twin", serial=7, at=NOW + SECOND), b"twin", last=accepted(7))
    by_time = sign_bytes(KEY, b"twin", f"feed:police time:{iso(NOW)}")
    with pytest.raises(EquivocationError):
        believed(by_time, b"twin", last=accepted(None))


def test_a_list_that_is_held_back_is_found_out_by_its_age() -> None:
    old = NOW - 31 * DAY
    with pytest.raises(FrozenError, match=r"signature\.max_age"):
        believed(signed(at=old))
    with pytest.raises(FrozenError):  # also where a server says that nothing has changed
        still_fresh(accepted(at=old), NOW, TERMS)
    still_fresh(accepted(at=NOW - 30 * DAY), NOW, TERMS)


def test_a_list_from_the_future_is_refused_but_for_clocks_that_are_a_little_ahead() -> None:
    with pytest.raises(FutureError):
        believed(signed(at=NOW + TOLERANCE_NS + SECOND))
    assert believed(signed(at=NOW + TOLERANCE_NS)).signed_ns == NOW + TOLERANCE_NS


def test_a_serial_that_leaps_to_the_end_does_not_close_the_feed_for_good() -> None:
    with pytest.raises(FastForwardError):
        believed(signed(serial=MAX_SERIAL))
    with pytest.raises(FastForwardError):
        believed(signed(b"x", serial=8 + MAX_LEAP), b"x", last=accepted(7))
    with pytest.raises(SignatureFormError):
        believed(sign_bytes(KEY, LIST, f"feed:police serial:{MAX_SERIAL + 1} time:{iso(NOW)}"))
    # Serials that are times in nanoseconds are no leap.
    first = believed(signed(serial=NOW))
    assert believed(signed(b"x", serial=NOW + 365 * DAY), b"x", last=first).serial == NOW + 365 * DAY
    # What a stolen key said last holds only as long as the key is pinned; the time holds on.
    stolen = accepted(MAX_LEAP, key=OTHER)
    with pytest.raises(RollbackError):
        believed(signed(b"x", serial=8), b"x", last=stolen, keys=(KEY.public, OTHER.public))
    assert believed(signed(b"x", serial=8, at=NOW + SECOND), b"x", last=stolen).serial == 8
    with pytest.raises(RollbackError):
        believed(signed(b"x", serial=8, at=NOW - SECOND), b"x", last=stolen)


# Forms


def edited(line: int, text: bytes) -> bytes:
    lines = signed().split(b"\n")
    lines[line] = text
    return b"\n".join(lines)


SIGNATURE_LINE, GLOBAL_LINE = signed().split(b"\n")[1], signed().split(b"\n")[3]


@pytest.mark.parametrize(
    "raw",
    [
        signed() + b"x",
        signed() + signed(),
        signed()[:-2],
        signed().replace(b"\n", b"\n\n"),
        b"\xff" * 100,
        b"untrusted comment: " + b"x" * (17 << 10) + b"\n",
        edited(0, b"comment: x"),
        edited(2, b"comment: x"),
        edited(1, SIGNATURE_LINE + b" "),
        edited(1, SIGNATURE_LINE[:-4]),
        edited(1, base64.b64encode(b"XX" + base64.b64decode(SIGNATURE_LINE)[2:])),
        edited(1, base64.b64encode(base64.b64decode(SIGNATURE_LINE) + b"\0")),
        edited(3, GLOBAL_LINE[:85] + bytes([GLOBAL_LINE[85] + 1]) + b"=="),
    ],
    ids=lambda raw: hashlib.sha256(raw).hexdigest()[:6],
)
def test_a_signature_of_any_other_form_is_refused(raw: bytes) -> None:
    assert raw != signed()
    with pytest.raises((SignatureFormError, CommentTamperedError)) as caught:
        believed(raw)
    assert caught.value.reason in ("malformed", "comment_tampered")


@pytest.mark.parametrize(
    "said",
    ["", "feed:police", "time:yesterday", "time:2026-13-01T00:00:00Z", "timestamp:-1", "timestamp:1 time:x",
     "timestamp:1 timestamp:1", "timestamp:99999999999999999999", "serial:1 serial:2 timestamp:1",
     "serial:01 timestamp:1", "serial:\u0661 timestamp:1", "timestamp:1 time:2026-01-01T00:00:00Z"],
)  # fmt: skip
def test_a_comment_that_says_no_time_or_says_things_twice_is_refused(said: str) -> None:
    with pytest.raises(SignatureFormError):
        claims_of(said.encode())
    with pytest.raises(SignatureFormError):
        claims_of(b"timestamp:1 \xff")


def test_files_with_the_line_ends_of_windows_are_read() -> None:
    assert believed(signed().replace(b"\n", b"\r\n")).serial == 7


def test_signatures_of_the_old_form_are_read_as_long_as_the_list_is_at_hand() -> None:
    old = legacy(KEY, LIST, comment("police", 1, NOW))
    assert needs_content(old) and not needs_content(signed()) and not needs_content(b"")
    assert believed(old).serial == 1
    with pytest.raises(WeakSignatureError):
        verify(Published(hashlib.blake2b(LIST).digest()), old, pinned([KEY.public]), None, NOW, TERMS)
    # The one is no signature of the other's message: the algorithm can't be exchanged.
    swapped = old.replace(
        base64.b64encode(b"Ed" + KEY.key_id)[:12], base64.b64encode(b"ED" + KEY.key_id)[:12]
    )
    assert parse_signature(swapped).prehashed
    with pytest.raises(BadSignatureError):
        believed(swapped)


@pytest.mark.parametrize(
    "text", ["", "RWQ", "x" * 56, KEY.public.encoded()[:-1] + "=", "a\nb\nc", "\u0660" * 56]
)
def test_what_is_no_public_key_is_no_key_and_is_not_shown(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_public_key(text, "keys")
    assert not text or text not in str(caught.value)


def test_errors_tell_nothing_that_acts_on_a_terminal() -> None:
    with pytest.raises(SubstitutionError) as caught:
        believed(sign_bytes(KEY, LIST, f"feed:\x1b]0;x\x07{'y' * 500} time:{iso(NOW)}"))
    assert str(caught.value).isprintable() and len(str(caught.value)) < 500


# Keys and signatures that we make


def test_keys_are_written_and_read_and_never_shown() -> None:
    assert read_secret_file(KEY.secret_file()) == KEY
    assert (
        parse_public_key(KEY.public_file().decode()) == KEY.public == parse_public_key(KEY.public.encoded())
    )
    assert KEY.seed.hex() not in repr(KEY) and str(KEY.seed) not in repr(KEY)
    assert make_key_pair() != make_key_pair()
    for broken in (
        b"",
        b"x\n",
        KEY.public_file(),
        KEY.secret_file()[:-9],
        KEY.secret_file()[:-60] + b"BBBB" + KEY.secret_file()[-56:],
    ):
        with pytest.raises(ConfigError):
            read_secret_file(broken)


@pytest.mark.parametrize("feed,serial", [("a b", 1), ("", 1), ("a", -1), ("a", MAX_SERIAL + 1), ("a\n", 1)])
def test_nothing_is_signed_that_would_not_be_believed(feed: str, serial: int) -> None:
    with pytest.raises(ValueError):
        comment(feed, serial, NOW)
    with pytest.raises(ValueError):
        sign_bytes(KEY, LIST, "two\nlines")


@pytest.mark.skipif(shutil.which("minisign") is None, reason="needs the program minisign to compare with")
def test_minisign_verifies_what_we_sign_and_we_verify_what_minisign_signs(tmp_path: Path) -> None:
    def run(*arguments: str) -> str:
        done = subprocess.run(
            ["minisign", *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True
        )
        return done.stdout

    (tmp_path / "list.txt").write_bytes(LIST)
    ours = make_key_pair()
    (tmp_path / "ours.key").write_bytes(ours.secret_file())
    (tmp_path / "ours.pub").write_bytes(ours.public_file())
    (tmp_path / "list.txt.minisig").write_bytes(signed(key=ours))
    assert "feed:police serial:7" in run("-V", "-p", "ours.pub", "-m", "list.txt")
    run("-V", "-P", ours.public.encoded(), "-m", "list.txt")
    # With its own key and the comment it writes by itself; then with our key, and in the old form.
    run("-G", "-W", "-p", "theirs.pub", "-s", "theirs.key")
    theirs = parse_public_key((tmp_path / "theirs.pub").read_text())
    assert read_secret_file((tmp_path / "theirs.key").read_bytes()).public == theirs
    for secret, public in (("theirs.key", theirs), ("ours.key", ours.public)):
        for form in ((), ("-l",)):
            run("-S", "-W", *form, "-s", secret, "-m", "list.txt")
            made = (tmp_path / "list.txt.minisig").read_bytes()
            assert needs_content(made) is bool(form)
            now = claims_of(parse_signature(made).comment).signed_ns
            assert believed(made, keys=(public,), now=now).key == public.name
