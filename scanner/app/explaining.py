"""Why a path is, was or will be scanned, or isn't: what a walk would do with it now, and what is on record.

Two steps, since they need different rights. `look` goes down to the path as the walk would, with the rights
of whoever asks; `explain` adds what is on record, which belongs to whoever scans.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum

from scanner.app.app import App
from scanner.app.coverage import coverage
from scanner.app.covered import Coverage
from scanner.app.lists import Lists
from scanner.app.placing import Place, absolute, adhoc_places, behind_links, beside_links, places
from scanner.app.tools import profile
from scanner.app.volumes import open_root
from scanner.app.walks import order_of
from scanner.catalog import Catalog
from scanner.gaps import Gap, Gaps
from scanner.ledger import Ledger
from scanner.model.errors import ConfigError, ScannerError, SourceError, StorageError
from scanner.model.files import FileStat, FileState, KnownFile
from scanner.model.matches import Case, Match
from scanner.pipeline.limits import ScanLimits
from scanner.pipeline.volume import Volume
from scanner.sources import Reach, Trace, compile_excludes, trace
from scanner.system.mounts import is_remote, type_at
from scanner.system.opening import open_directory
from scanner.system.probing import stuck_in

_STUCK_SECONDS = 10.0  # a person waits for the answer


class Answer(StrEnum):
    """What there is to say of a path in a volume, in one word."""

    CLEAN = "clean"  # compared with the lists of now as it is, and not listed
    NOT_MEDIA = "not_media"  # no picture and no video by its content
    HIT = "hit"  # as it is, a list has it
    EXCEPTION = "exception"  # a person said that this content is a false positive
    UNMATCHED = "unmatched"  # hashed, and not yet compared with the lists of now
    DUE = "due"  # the next scan looks at it: `reason` says why
    DIRECTORY = "directory"  # a directory that is walked
    GONE = "gone"  # not there any more, and on record
    LIMIT = "limit"  # not looked at for a limit
    FAILED = "failed"  # scans come to it and can't look at it (wholly)
    LEFT_OUT = "left_out"  # by choice, by where it lies
    NO_FILE = "no_file"  # a link, pipe, socket or device
    ABSENT = "absent"  # not there, and nothing on record
    REFUSED = "refused"  # whoever asks may not look
    UNKNOWN = "unknown"  # met by scans; what came of it may not be read by whoever asks


LOOKED_AT = frozenset(
    {Answer.CLEAN, Answer.NOT_MEDIA, Answer.HIT, Answer.EXCEPTION, Answer.UNMATCHED, Answer.DUE}
    | {Answer.DIRECTORY, Answer.GONE}
)
"""Answers that say: it is, was or will be looked at."""


@dataclass(frozen=True, slots=True)
class Known:
    """What the catalog has of a file.

    Attributes:
        fresh: the file is as it was when it was hashed.
        kinds_of_now: it was hashed with the kinds, and selected by the rules, of now.
        matched: all known files of the volume have been matched with the lists of now.
        matches: what the lists of now say of its digests; None where they can't be read.
    """

    file: KnownFile
    fresh: bool
    kinds_of_now: bool
    matched: bool
    matches: tuple[Match, ...] | None


@dataclass(frozen=True, slots=True)
class InVolume:
    """The answer for one volume.

    Attributes:
        at: the path at which the walk ends, as people know it.
        reason: in the words of scans and walks; "" where the answer says it all.
        pattern: the exclude pattern that leaves it out.
        stat: what is there now, if it is a regular file and may be looked at.
    """

    place: Place
    answer: Answer
    at: bytes
    reason: str = ""
    pattern: str = ""
    stat: FileStat | None = None
    known: Known | None = None
    gap: Gap | None = None
    coverage: Coverage | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """All there is to say of a path.

    Attributes:
        path: absolute, as it was named.
        volumes: an answer for each volume it lies in; none for a path that nobody scans.
        cases: of this path, newest first.
        leads_to: the same for what a link in the path leads to.
        records: why nothing on record could be read; "" if it could.
    """

    path: bytes
    volumes: tuple[InVolume, ...]
    cases: tuple[Case, ...] = ()
    leads_to: Explanation | None = None
    records: str = ""

    @property
    def looked_at(self) -> bool:
        """Whether it is, was or will be looked at, itself or under the name that it leads to."""
        there = any(v.answer in LOOKED_AT for v in self.volumes) or bool(self.cases)
        return there or (self.leads_to is not None and self.leads_to.looked_at)


@dataclass(frozen=True, slots=True)
class Looked:
    """What a walk would do with a path in a volume now; `problem` where the volume can't be looked at."""

    place: Place
    trace: Trace | None
    stat: FileStat | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Look:
    """The first step: `leads_to` where a link is in the way."""

    path: bytes
    volumes: tuple[Looked, ...]
    leads_to: Look | None = None


# The first step


def look(app: App, path: bytes) -> Look:
    """Go down to a path in each configured volume it lies in; blocking. No link is followed."""
    return _look_at(app, absolute(path), follow=True)


def _look_at(app: App, path: bytes, *, follow: bool) -> Look:
    found = places(path, app.volumes, app.config)
    if not found and (beside := beside_links(path)) != path:
        # The way to the volume leads over links, as /srv does where it is one.
        found = places(beside, app.volumes, app.config)
    looked = tuple(_look_in(app, place) for place in found)
    over_link = not found or any(each.trace and each.trace.reason == "symlink" for each in looked)
    target = behind_links(path) if follow and over_link else path
    leads_to = _look_at(app, target, follow=False) if target != path else None
    return Look(path, looked, leads_to if leads_to and leads_to.volumes else None)


def _look_in(app: App, place: Place) -> Looked:
    volume = place.volume
    try:
        _ask_storage(volume)
        with open_root(volume) as root_fd:
            found = trace(root_fd, place.path, order_of(app.tools, volume, full=False).policy())
            return Looked(place, found, found.stat or _stat(root_fd, place.path))
    except (ConfigError, SourceError) as e:
        return Looked(place, None, problem=e.what)


def _ask_storage(volume: Volume) -> None:
    if is_remote(type_at(volume.root)) and stuck_in(volume.root, _STUCK_SECONDS) is not None:
        raise SourceError("its storage does not answer", where=f"volume {volume.name}")


def _stat(root_fd: int, path: bytes) -> FileStat | None:
    """What is at a path that the walk does not come to; None if it is no regular file, or may not be seen."""
    directory, _, name = path.rpartition(b"/")
    try:
        fd = open_directory(root_fd, directory)
    except OSError:
        return None
    try:
        st = os.stat(name, dir_fd=fd, follow_symlinks=False) if name else os.fstat(fd)
    except OSError:
        return None
    finally:
        os.close(fd)
    return FileStat.of(name, st) if stat.S_ISREG(st.st_mode) else None


# The second step


def explain(app: App, seen: Look) -> Explanation:
    """Add what is on record to what was seen; blocking."""
    problem = _unreadable(app)
    if problem:
        return _without_records(app, seen, problem)
    try:
        with _records(app) as records:
            return replace(records.explain(seen), records=_empty(app))
    except StorageError as e:
        return _without_records(app, seen, str(e))


def _unreadable(app: App) -> str:
    """Why the state directory can't be read; "" if it can."""
    try:
        with os.scandir(app.state.path):
            return ""
    except FileNotFoundError:
        return ""
    except OSError as e:
        return f"{app.state.path} can't be read ({e.strerror}): ask as root, or as the user who scans"


def _empty(app: App) -> str:
    """A word for who asks without the daemon's --state-dir, or before anything was scanned."""
    return "" if app.state.ledger.exists() else f"{app.state.path} has no record of any scan"


def _without_records(app: App, seen: Look, problem: str) -> Explanation:
    volumes = tuple(_judge(app, looked, None, (), None) for looked in seen.volumes)
    beyond = seen.leads_to
    return Explanation(
        seen.path, volumes, (), _without_records(app, beyond, problem) if beyond else None, problem
    )


@contextmanager
def _records(app: App) -> Iterator[_Records]:
    with ExitStack() as stack:
        ledger = stack.enter_context(app.ledger(read_only=True))
        try:
            gaps = stack.enter_context(Gaps.open(app.state.gaps, read_only=True))
        except StorageError:
            gaps = None
        catalog = stack.enter_context(app.catalog())
        try:
            lists = app.keeper.open()
        except (ScannerError, OSError):
            lists = None
        yield _Records(app, ledger, gaps, catalog, lists)


class _Records:
    """What scans have left; what is None is not there, or may not be read."""

    def __init__(
        self, app: App, ledger: Ledger, gaps: Gaps | None, catalog: Catalog | None, lists: Lists | None
    ) -> None:
        self._app = app
        self._ledger = ledger
        self._gaps = gaps
        self._catalog = catalog
        self._lists = lists
        self._index_id = lists.index.id if lists else ""

    def explain(self, seen: Look) -> Explanation:
        adhoc = adhoc_places(seen.path, self._gaps.volumes() if self._gaps else (), self._app.volumes)
        looked = list(seen.volumes) or [_look_in(self._app, place) for place in adhoc]
        all_places = [*(each.place for each in seen.volumes), *adhoc]
        cases = [c for place in all_places for c in self._ledger.cases_of(place.volume.name, place.path)]
        names = [each.place.volume.name for each in looked]
        stand = coverage(self._app, names, self._index_id)
        return Explanation(
            seen.path,
            tuple(self._in_volume(each, stand[each.place.volume.name], cases) for each in looked),
            tuple(sorted(cases, key=lambda case: case.opened_ns, reverse=True)),
            self.explain(seen.leads_to) if seen.leads_to else None,
        )

    def _in_volume(self, looked: Looked, stand: Coverage, cases: Sequence[Case]) -> InVolume:
        place = looked.place
        volume = place.volume
        gaps = self._gaps.above(volume.name, volume.root, place.path) if self._gaps else ()
        known = self._known(self._catalog, place, looked.stat) if self._catalog else None
        exception = known is not None and self._ledger.is_exception(known.file.digests)
        found = _judge(self._app, looked, known, gaps, stand, exception=exception)
        if found.answer is Answer.ABSENT and (known or any(c.volume == volume.name for c in cases)):
            found = replace(found, answer=Answer.GONE)
        return found

    def _known(self, opened: Catalog, place: Place, st: FileStat | None) -> Known | None:
        volume = place.volume
        catalog = opened.volume(volume.name, volume.root, profile(self._app.config))
        row = catalog.lookup(place.path) if place.path else None
        if row is None:
            return None
        file = row[1]
        matches = self._lists.index.match(file.digests) if self._lists else None
        return Known(
            file,
            fresh=st is not None and file.stat.same_version(st),
            kinds_of_now=catalog.directory(place.path.rpartition(b"/")[0]) is not None
            and not catalog.lacks(place.path),
            # Nobody keeps the lists that were named to a scan by hand: the lists of then are those of now.
            matched=bool(catalog.matched_with)
            and (catalog.matched_with == self._index_id or not place.configured),
            matches=matches,
        )


def _judge(
    app: App,
    looked: Looked,
    known: Known | None,
    gaps: Sequence[Gap],
    stand: Coverage | None,
    *,
    exception: bool = False,
) -> InVolume:
    """The answer from what was seen and what is on record; `stand` None: nothing on record may be read."""
    place, found = looked.place, looked.trace
    base = InVolume(place, Answer.FAILED, place.shown, stat=looked.stat, known=known, coverage=stand)
    if found is None:
        return replace(base, reason=looked.problem)
    base = replace(base, at=place.volume.shown(found.at), reason=found.reason)
    match found.reach:
        case Reach.FILE:
            return _of_file(app, base, gaps, exception=exception)
        case Reach.DIRECTORY:
            return replace(base, answer=Answer.DIRECTORY, gap=next(iter(gaps), None))
        case Reach.LEFT_OUT:
            limit = found.reason == "depth"
            pattern = _pattern(place, found) if found.reason == "excluded" else ""
            return replace(base, answer=Answer.LIMIT if limit else Answer.LEFT_OUT, pattern=pattern)
        case Reach.NO_FILE:
            return replace(base, answer=Answer.NO_FILE)
        case Reach.ABSENT:
            return replace(base, answer=Answer.ABSENT)
    gap = next((gap for gap in gaps if gap.path == found.at), None)
    refused = found.reason in ("permission", "unreadable") and gap is None and os.geteuid() != 0
    return replace(base, answer=Answer.REFUSED if refused else Answer.FAILED, gap=gap)


def _of_file(app: App, base: InVolume, gaps: Sequence[Gap], *, exception: bool) -> InVolume:
    """A regular file that a walk comes to."""
    known, st = base.known, base.stat
    if base.coverage is None or st is None:
        return replace(base, answer=Answer.UNKNOWN)
    if known is not None and known.fresh and known.kinds_of_now:
        return _as_known(base, known, exception=exception)
    gap = next((gap for gap in gaps if gap.path == base.place.path), None)
    limits = app.config.hashing
    limit = ScanLimits(limits.select == "media", limits.max_file_size).refuses(st)
    if limit:
        return replace(base, answer=Answer.LIMIT, reason=limit, gap=gap)
    if gap is not None:
        return replace(base, answer=Answer.FAILED, reason=gap.reason, gap=gap)
    if known is None:
        return replace(base, answer=Answer.DUE, reason="new")
    if known.fresh:
        return replace(base, answer=Answer.DUE, reason="other_kinds")
    young = not known.file.stat.ctime_ns
    return replace(base, answer=Answer.DUE, reason="young" if young else "changed")


def _as_known(base: InVolume, known: Known, *, exception: bool) -> InVolume:
    """A file that is as it was when it was hashed."""
    if known.file.state is FileState.NOT_MEDIA:
        return replace(base, answer=Answer.NOT_MEDIA)
    if exception:
        return replace(base, answer=Answer.EXCEPTION)
    if known.matches:
        return replace(base, answer=Answer.HIT)
    if known.file.state is FileState.LISTED and not (known.matched and base.place.configured):
        return replace(base, answer=Answer.HIT, reason="listed_before")
    if not known.matched:
        return replace(base, answer=Answer.UNMATCHED)
    if known.file.digests.problem:
        return replace(base, answer=Answer.FAILED, reason=known.file.digests.problem)
    return replace(base, answer=Answer.CLEAN)


def _pattern(place: Place, found: Trace) -> str:
    """The first exclude pattern that leaves out what the walk ends at."""
    directory, _, name = found.at.rpartition(b"/")
    for pattern in place.volume.exclude:
        one = compile_excludes([pattern], place.volume.root)
        if one is not None and (one.directory(found.at) or (name and any(one.among(directory, [name])))):
            return pattern
    return ""
