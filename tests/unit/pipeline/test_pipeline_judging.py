"""Which of several views of a file decides, and what the case tells of it."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from scanner.index import Index, OpenFeed, Snapshot, SnapshotBuilder
from scanner.ledger import Ledger
from scanner.model.feeds import Band, Entry, FeedTerms
from scanner.model.files import FileRef, FileStat
from scanner.model.hashes import Digests, PerceptualHash
from scanner.model.matches import Action, Case
from scanner.model.outcomes import ScanCounts
from scanner.model.ports import SystemClock, SystemIds
from scanner.pipeline.judging import Judge, Judgement, OpenFile
from scanner.pipeline.volume import Volume
from scanner.response import Brake, BrakeLimits, SecureOutcome, SecureRequest, SecureResult
from tests.scanning import Told

VALUE = hashlib.sha256(b"a picture").digest()
WHOLE = frozenset({"whole"})


def flipped(bits: int) -> bytes:
    return (int.from_bytes(VALUE, "big") ^ ((1 << bits) - 1)).to_bytes(32, "big")


class Never:
    """Secures nothing: what is to be secured fails before it comes here, since the file is gone."""

    def secure(self, request: SecureRequest) -> SecureResult:
        raise AssertionError(request)


def gone() -> OpenFile:
    raise FileNotFoundError(2, "no such file")


class Once:
    """Secures one file; after that it is no longer as it was."""

    def __init__(self, then: SecureOutcome) -> None:
        self._secured = False
        self._then = then

    def secure(self, request: SecureRequest) -> SecureResult:
        if self._secured:
            return SecureResult(self._then, str(self._then))
        self._secured = True
        return SecureResult(SecureOutcome.SECURED, "secured", quarantine_id="item")


def judged(tmp_path: Path, bands: tuple[Band, ...], *views: tuple[str, int]) -> Case:
    place = tmp_path / "list.snapshot"
    builder = SnapshotBuilder()
    builder.add(Entry((("pdq", VALUE),), "e", "1"))
    builder.finish(place, meta={"feed": "f", "format": "csv", "built_ns": 1})
    terms = FeedTerms("f", bands=bands)
    digests = Digests(
        9, "image/png", {"sha256": b"s" * 32},
        tuple(PerceptualHash("pdq", view, flipped(bits), 90) for view, bits in views),
    )  # fmt: skip
    told = Told()
    with Ledger.open(tmp_path / "ledger.sqlite") as ledger:
        judge = Judge(
            volume=Volume("web", b"/srv"),
            matcher=Index([OpenFeed(terms, Snapshot.open(place))], {}),
            terms={"f": terms},
            ledger=ledger,
            brake=Brake(BrakeLimits(10, 1.0, 1)),
            root_fd=-1,
            securing=Never(),
            reporter=told,
            clock=SystemClock(),
            ids=SystemIds(),
        )
        judge.judge(FileRef("web", b"", FileStat(b"a", 1, 1, 9, 0, 0, 1, 1)), digests, ScanCounts(), gone)
        (case,) = told.hits
        return ledger.get(case.id)


def test_a_nearer_view_that_may_only_be_reported_does_not_hide_one_that_may_be_acted_on(
    tmp_path: Path,
) -> None:
    bands = (Band(secure=True, max_distance=16, kind="pdq", views=WHOLE), Band(secure=False))
    case = judged(tmp_path, bands, ("tilt2full", 3), ("full", 9), ("grid512", 12))
    assert case.action is Action.FAILED  # it was to be secured
    match = case.match
    assert (match.view, match.distance, match.value, match.views) == ("full", 9, flipped(9), 3)
    assert case.perceptual_only


def test_where_no_view_may_be_acted_on_the_nearest_is_told(tmp_path: Path) -> None:
    bands = (Band(secure=True, max_distance=4, views=WHOLE), Band(secure=False))
    case = judged(tmp_path, bands, ("full", 9), ("tilt2full", 3), ("full.turn90", 40))
    assert (case.action, case.match.view, case.match.views) == (Action.REPORTED, "tilt2full", 2)
    assert case.reason == "view tilt2full: not among whole, only reported"


@pytest.mark.parametrize("then", [SecureOutcome.VANISHED, SecureOutcome.CHANGED, SecureOutcome.RACED])
@pytest.mark.parametrize("side_by_side", [True, False])
def test_who_comes_second_to_a_file_does_not_call_it_lost(
    tmp_path: Path, side_by_side: bool, then: SecureOutcome
) -> None:
    """A scan and a match of known files meet the same file: the second finds it gone, into the vault.

    One that began only after it had been secured has seen the file come back, and vanish.
    """
    place = tmp_path / "list.snapshot"
    builder = SnapshotBuilder()
    builder.add(Entry((("md5", b"m" * 16),), "e", "1"))
    builder.finish(place, meta={"feed": "f", "format": "csv", "built_ns": 1})
    digests, file = Digests(9, "image/png", {"md5": b"m" * 16}), FileStat(b"a", 1, 1, 9, 0, 0, 1, 1)
    (tmp_path / "a").write_bytes(b"x")
    fd, securing, told, counts = os.open(tmp_path, os.O_RDONLY), Once(then), Told(), ScanCounts()
    with Ledger.open(tmp_path / "ledger.sqlite") as ledger:

        def one() -> Judge:
            return Judge(
                volume=Volume("web", b"/srv"),
                matcher=Index([OpenFeed(FeedTerms("f"), Snapshot.open(place))], {}),
                terms={"f": FeedTerms("f")},
                ledger=ledger,
                brake=Brake(BrakeLimits(10, 1.0, 1)),
                root_fd=-1,
                securing=securing,
                reporter=told,
                clock=SystemClock(),
                ids=SystemIds(),
            )

        def meet(judge: Judge) -> Judgement:
            return judge.judge(FileRef("web", b"", file), digests, counts, lambda: OpenFile(fd, fd, file, 0))

        second = one()
        assert meet(one()).gone
        judgement = meet(second if side_by_side else one())
        os.close(fd)
        (case,) = ledger.list()
    assert case.quarantine_id == "item" and judgement.gone == side_by_side
    assert case.action is (Action.QUARANTINED if side_by_side else Action.FAILED)
    assert (counts.secured, counts.unsecured, len(told.hits)) == ((2, 0, 1) if side_by_side else (1, 1, 2))
