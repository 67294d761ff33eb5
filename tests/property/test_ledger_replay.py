"""Whatever is done in whatever order: the tables say what the events say, and the chain holds."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.ledger import Ledger
from scanner.model.errors import LedgerError, NotFoundError
from scanner.model.hashes import Digests, PerceptualHash
from scanner.model.matches import Action, Case, CaseState, Match
from scanner.model.steps import Step, StepKind, StepState

# Texts as they come from the system: any Unicode, and bytes that are no UTF-8 as surrogate escapes.
texts = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    st.binary(max_size=8).map(lambda raw: raw.decode("utf-8", "surrogateescape")),
)
paths = st.binary(min_size=1, max_size=12).filter(lambda raw: b"\0" not in raw)
times = st.integers(-(2**63), 2**63 - 1)
sizes = st.integers(0, 2**64)

digests = st.builds(
    Digests,
    size=sizes,
    media_type=st.sampled_from(["", "image/png"]),
    exact=st.dictionaries(
        st.sampled_from(["md5", "sha1", "sha256"]), st.sampled_from([b"\0" * 4, b"\xff" * 4])
    ),
    perceptual=st.lists(
        st.builds(PerceptualHash, texts, texts, st.binary(max_size=8), st.integers(0, 100)), max_size=2
    ).map(tuple),
    problem=texts,
)
matches = st.builds(
    Match, texts, texts, texts, texts, st.integers(0, 256), texts, st.integers(0, 100), st.booleans()
)
cases = st.builds(
    Case,
    id=st.just(""),
    opened_ns=times,
    updated_ns=times,
    volume=st.one_of(st.just("web"), texts),
    root=paths,
    path=st.one_of(st.just(b"a"), paths),
    shown_as=texts,
    customer=texts,
    size=sizes,
    mtime_ns=st.integers(-(2**70), 2**70),
    digests=digests,
    match=matches,
    others=st.lists(matches, max_size=2).map(tuple),
    action=st.sampled_from(Action),
    reason=texts,
    state=st.sampled_from(CaseState),
    quarantine_id=st.sampled_from(["", "q1"]),
    note=texts,
)  # fmt: skip

numbers = st.integers(0, 1)  # few, so that operations meet
states = st.sampled_from([CaseState.CONFIRMED, CaseState.FALSE_POSITIVE])
ends = st.sampled_from([StepState.DONE, StepState.UNDONE])
operations = st.one_of(
    st.tuples(st.just("open"), cases),
    st.tuples(st.just("meet"), numbers, st.sampled_from(Action), texts, times),
    st.tuples(
        st.just("act"), numbers, st.sampled_from(Action), texts, st.sampled_from(["", "q1", "q2"]), times
    ),
    st.tuples(st.just("resolve"), numbers, states, texts, texts, times),
    st.tuples(st.just("except"), numbers, texts, times),
    st.tuples(st.just("begin"), numbers, texts, times),
    st.tuples(st.just("finish"), numbers, ends, texts),
    st.tuples(st.just("engage"), texts, times),
    st.tuples(st.just("release"), texts, times),
    st.tuples(st.just("scan"), numbers, texts, times),
    st.tuples(st.just("scanned"), numbers, st.booleans(), times),
    st.tuples(st.just("note"), texts, texts, times),
)


class World:
    """Turns drawn operations into calls; what the ledger refuses must leave no trace."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.opened: list[Case] = []

    def do(self, verb: str, *values: object) -> None:
        head = self.ledger.head()
        act: Callable[..., None] = getattr(self, f"do_{verb}")
        try:
            act(*values)
        except (NotFoundError, LedgerError, RuntimeError):
            assert self.ledger.head() == head

    def case_id(self, n: int) -> str:
        return self.opened[n % len(self.opened)].id if self.opened else "none"

    def do_open(self, case: Case) -> None:
        case = replace(case, id=f"case-{self.ledger.head().seq}")
        kept, new = self.ledger.open_case(case)
        if new:
            assert kept == case
            self.opened.append(case)
        assert self.ledger.open_case(case) == (kept, False)

    def do_meet(self, n: int, action: Action, reason: str, at: int) -> None:
        """A file of a case is met again, and something else is wanted for it."""
        known = self.ledger.get(self.case_id(n))
        met = replace(known, id="again", action=action, reason=reason, updated_ns=at)
        kept, new = self.ledger.open_case(met)
        assert not new
        assert (kept.id, kept.action, kept.state) == (known.id, action, known.state)

    def do_act(self, n: int, action: Action, reason: str, item: str, at: int) -> None:
        self.ledger.set_action(self.case_id(n), action, reason, item, at)

    def do_resolve(self, n: int, state: CaseState, note: str, actor: str, at: int) -> None:
        self.ledger.resolve(self.case_id(n), state, note, actor, at)

    def do_except(self, n: int, note: str, at: int) -> None:
        case_id = self.case_id(n)
        found = self.ledger.get(case_id).digests
        self.ledger.add_exception(found, case_id, note, "", at)
        assert self.ledger.is_exception(found)

    def do_begin(self, n: int, text: str, at: int) -> None:
        details: dict[str, str | int | None] = {"name": text, "inode": 2**64 - 1, "none": None}
        self.ledger.begin(Step(f"s{n}", StepKind.SECURE, self.case_id(n), "q1", "o", at, details))

    def do_finish(self, n: int, state: StepState, outcome: str) -> None:
        self.ledger.finish(f"s{n}", state, outcome)

    def do_engage(self, reason: str, at: int) -> None:
        self.ledger.engage_brake(reason, at)

    def do_release(self, actor: str, at: int) -> None:
        self.ledger.release_brake(actor, at)

    def do_scan(self, n: int, volume: str, at: int) -> None:
        self.ledger.scan_started(f"scan{n}", volume, "full", at)

    def do_scanned(self, n: int, complete: bool, at: int) -> None:
        self.ledger.scan_finished(
            f"scan{n}", {"files": 2**70, "skipped": {"own": 1}}, complete=complete, now_ns=at
        )

    def do_note(self, text: str, actor: str, at: int) -> None:
        self.ledger.note(text, actor, at)


@settings(max_examples=80, deadline=None)
@given(cases, st.lists(operations, min_size=1, max_size=20))
def test_the_tables_are_what_a_replay_of_the_events_gives(
    first: Case, drawn: list[tuple[object, ...]]
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "ledger.sqlite"
        with Ledger.open(path) as ledger:
            world = World(ledger)
            world.do("open", first)
            for verb, *values in drawn:
                world.do(str(verb), *values)
            assert ledger.changed_tables() == ()
            assert ledger.verify(ledger.head()).ok
            assert [e.seq for e in ledger.events()] == list(range(1, ledger.head().seq + 1))
            assert len(ledger.list()) == sum(ledger.counts().values()) == len(world.opened)
            assert len(ledger.list(unsecured=True)) == ledger.count_unsecured()
