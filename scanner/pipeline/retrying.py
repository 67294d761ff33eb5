"""Files that were to be secured and could not be: tried again without a walk."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from scanner.catalog import VolumeCatalog
from scanner.ledger import Ledger
from scanner.model.files import DirectoryFailed, DirectoryMet, FileStat, FileState, KnownFile
from scanner.model.matches import Action, Case, CaseState
from scanner.model.ports import Matcher
from scanner.pipeline.opening import OpenDirectory, failure_kind
from scanner.pipeline.volume import Volume

# Cases looked at in one round. The brake lets fewer hits happen in a scan; more than these wait their turn.
_AT_ONCE = 5000


NO_LONGER_LISTED = "no longer listed"
"""Why a file that was to be secured is left in its place: no list in use says anything of it any more."""


def let_go_of_unlisted(ledger: Ledger, matcher: Matcher, volume: Volume, now_ns: int) -> list[str]:
    """Say of the cases of a volume that were to be secured, and that no list supports any more, that they
    are not to be. They stay on record; should a list name them again, they are met as any file.

    Returns:
        ids of these cases.

    Raises:
        LedgerError: the ledger can't be read or written.
    """
    moving = {step.case_id for step in ledger.open_steps()}  # recovery says what became of these
    waiting = [case for case in _waiting(ledger, volume) if case.id not in moving]
    gone = [case for case in waiting if not matcher.match(case.digests)]
    for case in gone:
        ledger.set_action(case.id, Action.REPORTED, NO_LONGER_LISTED, "", now_ns)
    return [case.id for case in gone]


def unsecured_paths(ledger: Ledger, volume: Volume) -> list[bytes]:
    """Paths below a volume's root of files that were to be secured and are still in their place.

    Raises:
        LedgerError: the ledger can't be read.
    """
    return sorted({case.path for case in _waiting(ledger, volume)})


def _waiting(ledger: Ledger, volume: Volume) -> list[Case]:
    cases = ledger.list(unsecured=True, limit=_AT_ONCE)
    return [
        case
        for case in cases
        if case.action is Action.FAILED
        and case.state is not CaseState.FALSE_POSITIVE
        and (case.volume, case.root) == (volume.name, volume.root)
    ]


def events_of(
    root_fd: int, volume: Volume, known: VolumeCatalog, paths: Sequence[bytes]
) -> list[DirectoryMet | DirectoryFailed]:
    """These files as walk events; what is not there any more is left out.

    Raises:
        CatalogError: the catalog can't be read.
    """
    events: list[DirectoryMet | DirectoryFailed] = []
    for directory, group in groupby(sorted(p.rpartition(b"/") for p in paths), key=lambda parts: parts[0]):
        opened = OpenDirectory(root_fd, directory, one_mount=volume.one_filesystem)
        try:
            events.append(_directory(opened, [name for _, _, name in group], known))
        except FileNotFoundError:
            continue
        except OSError as e:
            events.append(DirectoryFailed(directory, failure_kind(e)))
        finally:
            opened.close()
    return events


def _directory(directory: OpenDirectory, names: Sequence[bytes], known: VolumeCatalog) -> DirectoryMet:
    changed: list[FileStat] = []
    unchanged: list[KnownFile] = []
    for name in names:
        stat = directory.look(name)
        if stat is None:
            continue
        row = _row(known, directory.path + b"/" + name if directory.path else name)
        if row is not None and row.stat.same_version(stat):
            unchanged.append(row)
        else:
            changed.append(stat)
    return DirectoryMet(directory.path, changed=tuple(changed), known=tuple(unchanged))


def _row(known: VolumeCatalog, path: bytes) -> KnownFile | None:
    found = known.lookup(path)
    return None if found is None or found[1].state is FileState.NOT_MEDIA else found[1]
