"""Records of the ledger: a LedgerError, or a record of the right types that is written as it was read.

First byte: a case or a step, by edits of a whole one or as text.
"""

from __future__ import annotations

import json

from fuzzing import Target, law

from fuzz_targets._edits import edited
from scanner.ledger import codec
from scanner.model.errors import LedgerError
from scanner.model.hashes import Digests, PerceptualHash
from scanner.model.matches import Action, Case, CaseState, Match
from scanner.model.steps import Step, StepKind

_CASE, _EDITS = 0, 2


def check(data: bytes) -> None:
    what = data[0] % 4 if data else 0
    text = data[1:].decode("utf-8", "replace")
    if what >= _EDITS:
        whole = codec.case_json(_case()) if what == _CASE + _EDITS else codec.step_json(_step())
        try:
            text = json.dumps(edited(json.loads(codec.canonical(whole)), data[1:]))
        except RecursionError:
            return
    try:
        if what % 2 == _CASE:
            case = codec.read_case(text)
            _check_case(case)
            again = codec.read_case(codec.canonical(codec.case_json(case)))
            law(again == case, "a case is written as it was read")
        else:
            step = codec.read_step(text)
            _check_step(step)
            written = codec.step_json(step) | {"state": step.state}
            law(codec.read_step(codec.canonical(written)) == step, "a step is written as it was read")
    except LedgerError:
        return


def _check_case(case: Case) -> None:
    texts = (case.id, case.volume, case.shown_as, case.customer, case.reason, case.quarantine_id, case.note)
    law(all(type(text) is str for text in texts), "texts are texts")
    numbers = (case.opened_ns, case.updated_ns, case.size, case.mtime_ns, case.digests.size)
    law(all(type(number) is int for number in numbers), "numbers are whole")
    for match in (case.match, *case.others):
        law(
            all(type(t) is str for t in (match.kind, match.feed, match.entry, match.category)),
            "so in matches",
        )
        law(type(match.distance) is int and type(match.exact) is bool, "so in matches")
    law(all(type(p.quality) is int and type(p.kind) is str for p in case.digests.perceptual), "so in digests")


def _check_step(step: Step) -> None:
    texts = (step.id, step.case_id, step.quarantine_id, step.owner)
    law(all(type(text) is str for text in texts), "texts are texts")
    law(type(step.started_ns) is int, "numbers are whole")
    law(all(type(v) in (str, int, type(None)) for v in step.details.values()), "details are plain")


def _case() -> Case:
    seen = (PerceptualHash("pdq", "full", b"p" * 32, 90),)
    near = Match("pdq", "f", "#1", "1", 7, "full", 90, exact=False)
    return Case(
        "c1", 1, 2, "web", b"/srv", b"a\xff", "/srv", "", 3, -4,
        Digests(3, "image/png", {"sha256": b"s" * 32}, seen), Match("sha256", "f", "id", "1"), (near,),
        Action.QUARANTINED, "policy", CaseState.OPEN, "q1", "",
    )  # fmt: skip


def _step() -> Step:
    return Step("s1", StepKind.SECURE, "c1", "q1", "o", 5, {"root": "L3Nydg==", "size": 3, "none": None})


def seeds() -> dict[str, bytes]:
    return {
        "case": b"\0" + codec.canonical(codec.case_json(_case())).encode(),
        "step": b"\1" + codec.canonical(codec.step_json(_step())).encode(),
        "deep": b"\0" + b"[" * 3000,
        "digits": b"\0" + b"9" * 5000,
        "numbers": b"\2size=1.5\nmtime_ns=99999999999999999999\nothers.0.distance=true",
        "texts": b"\2id=5\nmatch.feed=null\nroot_base64=L3Ny",
        "digests": b"\2digests.exact.md5=00ff\ndigests.perceptual.0.value=zz\ndigests.size",
        "states": b"\2state=closed\naction=reported",
        "step_details": b"\3details.x=[]\nkind=restore\nstate=done",
    }


_KEYS = ("id", "match.kind", "others.0.", "digests.exact.", "perceptual.0.", "state", "action", "details.")
TARGET = Target(
    check, seeds, (*(key.encode() for key in _KEYS), b"=null", b"=1.5", b"={}", b"=true", b"=[", b"\n")
)
