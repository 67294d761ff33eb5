"""From digests to a decision: matched or not, by which rule, and what is done about it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from scanner.ledger import Ledger
from scanner.model.feeds import FeedTerms
from scanner.model.files import FileRef, FileStat
from scanner.model.hashes import Digests
from scanner.model.matches import Action, Case, CaseState, Match, Verdict
from scanner.model.outcomes import ScanCounts
from scanner.model.ports import Clock, Ids, Matcher
from scanner.pipeline.links import Links, other_name
from scanner.pipeline.reporting import Reporter
from scanner.pipeline.volume import Customers, Volume
from scanner.response import Brake, SecureOutcome, SecureRequest, SecureResult, verdict
from scanner.system.inhand import InHand


@dataclass(frozen=True, slots=True)
class OpenFile:
    """The very file that was hashed, and the directory it was opened in.

    Attributes:
        stat: what it was when it was hashed, with the device that the descriptor says.
        atime_ns: when it was last read before we did; 0 where that isn't known.
    """

    fd: int
    directory_fd: int
    stat: FileStat
    atime_ns: int = 0


@dataclass(frozen=True, slots=True)
class Judgement:
    """What became of a file.

    Attributes:
        matched: some acting entry lists it, and nobody said it is a false positive.
        gone: it was moved into the vault.
        again: it is not what it was any more, so nothing of it may be remembered.
        changed: it was written to since it was hashed, and is to be hashed and judged once more.
    """

    matched: bool
    gone: bool = False
    again: bool = False
    changed: bool = False


CLEAN = Judgement(matched=False)

_IN_SNAPSHOTS = "; snapshots of the volume may still hold it"


class Securing(Protocol):
    """What the judge needs to have a file secured; None at the judge means: report only."""

    def secure(self, request: SecureRequest) -> SecureResult:
        """Secure one file, or say why it could not be.

        Raises:
            LedgerError: nothing may be done that can't be recorded.
        """


# Rounds in which another file may stand at the name, before that is left for later: whoever swaps names must
# not hold up a scan.
_RACES = 3


# What becomes of a file that another thread has taken away meanwhile: moving it changes its ctime, too.
_NOT_THERE = frozenset({SecureOutcome.VANISHED, SecureOutcome.CHANGED, SecureOutcome.RACED})


class Judge:
    """Decides about the files of one volume in one scan.

    Args:
        snapshots: the volume shows snapshots, so that a secured file may still be served from there.
        in_hand: cases that a thread of this process works on: recovery leaves their steps alone, until what
            came of them is on record.

    The order of what is recorded: the case first, then the securing step's intent, the act, its outcome,
    and last the case's action: a crash in between leaves an open step, from which recovery finds the case.
    """

    def __init__(
        self,
        *,
        volume: Volume,
        matcher: Matcher,
        terms: Mapping[str, FeedTerms],
        ledger: Ledger,
        brake: Brake,
        root_fd: int,
        snapshots: bool = False,
        securing: Securing | None,
        reporter: Reporter,
        clock: Clock,
        ids: Ids,
        in_hand: InHand | None = None,
    ) -> None:
        self.links = Links()
        self._in_hand = in_hand or InHand()
        self._volume = volume
        self._customers = Customers(volume.customer)
        self._matcher = matcher
        self._terms = terms
        self._ledger = ledger
        self._brake = brake
        self._root_fd = root_fd
        self._securing = securing
        self._snapshots = snapshots
        self._reporter = reporter
        self._clock = clock
        self._ids = ids
        self._began_ns = clock.now_ns()

    def judge(
        self,
        file: FileRef,
        digests: Digests,
        counts: ScanCounts,
        opened: Callable[[], OpenFile],
        *,
        once_more: bool = False,
    ) -> Judgement:
        """Match one file and act on it.

        Args:
            counts: the scan's counts so far (the brake looks at them; secured/unsecured are counted here).
            opened: gives the open file; called only when it is to be secured; may raise OSError.
            once_more: if it was written to since it was hashed, the caller hashes and hands it in again:
                then nothing is counted or told yet.

        Raises:
            LedgerError: nothing may be done that can't be recorded.
            VaultError: the vault itself is broken.
        """
        matches = self._matcher.match(digests)
        if not matches:
            return CLEAN
        if self._ledger.is_exception(digests):
            self._reporter.note(
                "exception_applied", volume=self._volume.name, path=self._volume.shown(file.path)
            )
            return CLEAN
        match, others, wanted = self._decide(matches, counts)
        case = self._case(file, digests, match, others, wanted)
        if not wanted.secure:
            counts.unsecured += 1
            return self._tell(case, Judgement(matched=True))
        with self._in_hand.hold(case.id):
            result = self._secure(file, digests, case, opened)
            secured_meanwhile = self._secured_meanwhile(case, result)
            said = SecureResult(SecureOutcome.SECURED, "secured") if secured_meanwhile else result
            case = self._acted(case, wanted, said)
        if secured_meanwhile and (result.outcome is SecureOutcome.VANISHED or not once_more):
            counts.secured += 1
            return Judgement(matched=True, gone=True)
        if once_more and (secured_meanwhile or result.outcome is SecureOutcome.CHANGED):
            return Judgement(matched=True, again=True, changed=True)
        return self._finished(case, result, counts)

    def _secured_meanwhile(self, case: Case, result: SecureResult) -> bool:
        """Whether another thread has secured what is not there for us: whoever scans and whoever matches what
        is known can meet the same file at the same time."""
        return result.outcome in _NOT_THERE and self._ledger.secured_since(case.id, self._began_ns)

    def _finished(self, case: Case, result: SecureResult, counts: ScanCounts) -> Judgement:
        """Count and tell what came of securing a file."""
        counts.secured += result.secured
        counts.unsecured += not result.secured
        if not result.secured:
            self._alert(case, result)
        return self._tell(case, Judgement(True, gone=result.secured, again=not result.secured))

    def _acted(self, case: Case, wanted: Verdict, result: SecureResult) -> Case:
        action = Action.QUARANTINED if result.secured else Action.FAILED
        said = wanted.reason + _IN_SNAPSHOTS * self._snapshots if result.secured else result.kind
        reason = f"{said}: {result.text}" if result.text else said
        return self._ledger.set_action(
            case.id, action, reason, quarantine_id=result.quarantine_id, now_ns=self._clock.now_ns()
        )

    def _alert(self, case: Case, result: SecureResult) -> None:
        self._reporter.note(
            "hit_not_secured",
            case=case.id,
            volume=self._volume.name,
            kind=result.kind,
            reason=result.text or result.kind,
        )

    def _decide(
        self, matches: tuple[Match, ...], counts: ScanCounts
    ) -> tuple[Match, tuple[Match, ...], Verdict]:
        """The strongest match that wants the file secured, else the strongest; and the rest.

        It is told in the view that decided: a nearer one that may only be reported doesn't hide one that may
        be acted on.
        """
        decided = (
            (n, view, self._verdict(view, braked=False))
            for n, match in enumerate(matches)
            for view in match.each_view()
        )
        first = next(decided)
        n, match, wanted = first if first[2].secure else next((d for d in decided if d[2].secure), first)
        if wanted.secure:
            if not self._brake.engaged and self._brake.hit(counts.files):
                self._engage_brake(counts)
            if self._brake.engaged:
                counts.braked = True
                wanted = self._verdict(match, braked=True)
        return match, tuple(next(m.each_view()) for i, m in enumerate(matches) if i != n), wanted

    def _verdict(self, match: Match, *, braked: bool) -> Verdict:
        return verdict(
            match,
            self._terms[match.feed],
            securing_enabled=self._securing is not None,
            brake_engaged=braked,
            exception=False,
        )

    def _engage_brake(self, counts: ScanCounts) -> None:
        reason = f"{self._brake.hits} hits among {counts.files} files on volume {self._volume.name}"
        self._ledger.engage_brake(reason, self._clock.now_ns())
        self._reporter.note("brake_engaged", volume=self._volume.name, reason=reason)

    def _case(
        self, file: FileRef, digests: Digests, match: Match, others: tuple[Match, ...], wanted: Verdict
    ) -> Case:
        now = self._clock.now_ns()
        shown = self._volume.shown(file.path)
        case, _ = self._ledger.open_case(
            Case(
                id=self._ids.new(),
                opened_ns=now,
                updated_ns=now,
                volume=self._volume.name,
                root=self._volume.root,
                path=file.path,
                shown_as=(self._volume.shown_as or self._volume.root).decode("utf-8", "surrogateescape"),
                customer=self._customers.of(shown),
                size=file.stat.size,
                mtime_ns=file.stat.mtime_ns,
                digests=digests,
                match=match,
                others=others,
                # A case that is to be secured is not yet: should we die here, it says so.
                action=Action.FAILED if wanted.secure else Action.REPORTED,
                reason="securing" if wanted.secure else wanted.reason,
                state=CaseState.OPEN,
            )
        )
        return case

    def _secure(
        self, file: FileRef, digests: Digests, case: Case, opened: Callable[[], OpenFile]
    ) -> SecureResult:
        if self._securing is None:
            raise RuntimeError("the policy wants a file secured in a scan that only reports")
        try:
            at = opened()
        except FileNotFoundError as e:
            return SecureResult(SecureOutcome.VANISHED, "vanished", e.strerror or "")
        except OSError as e:
            return SecureResult(SecureOutcome.CHANGED, "changed", e.strerror or str(e))
        request = SecureRequest(
            volume=self._volume.name,
            root=self._volume.root,
            root_fd=self._root_fd,
            directory=file.directory,
            name=file.stat.name,
            fd=at.fd,
            stat=at.stat,
            directory_fd=at.directory_fd,
            digests=digests,
            case_id=case.id,
            atime_ns=at.atime_ns,
        )
        result = self._in_rounds(self._securing, request)
        if result.secured:
            self.links.secured(at.fd, case, digests, result.links_left)
        return result

    @staticmethod
    def _in_rounds(securing: Securing, request: SecureRequest) -> SecureResult:
        """Secure; when another file stood at the name, by the name that the hashed one has by now."""
        for _ in range(_RACES - 1):
            result = securing.secure(request)
            if result.outcome not in (SecureOutcome.RACED, SecureOutcome.VANISHED):
                return result
            try:
                name = other_name(request.fd, request.directory_fd)
            except OSError:
                return result
            if name is None:
                return result
            request = replace(request, name=name)
        return securing.secure(request)

    def _tell(self, case: Case, judgement: Judgement) -> Judgement:
        self._reporter.hit(case, self._volume.shown(case.path))
        return judgement
