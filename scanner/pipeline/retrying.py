"""Files that were to be secured and could not be: tried again without a walk."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from scanner.catalog import VolumeCatalog
from scanner.ledger import Ledger
from scanner.model.files import DirectoryFailed, DirectoryMet, FileStat, FileState, KnownFile
from scanner.model.matches import Action, CaseState
from scanner.pipeline.opening import OpenDirectory, failure_kind
from scanner.pipeline.volume import Volume

# Cases looked at in one round. The brake lets fewer hits happen in a scan; more than these wait their turn.
_AT_ONCE = 5000


def unsecured_paths(ledger: Ledger, volume: Volume) -> list[bytes]:
    """Paths below a volume's root of files that were to be secured and are still in their place.

    Raises:
        LedgerError: the ledger can't be read.
    """
    cases = ledger.list(unsecured=True, limit=_AT_ONCE)
    return sorted(
        {
            case.path
            for case in cases
            if case.action is Action.FAILED
            and case.state is not CaseState.FALSE_POSITIVE
            and (case.volume, case.root) == (volume.name, volume.root)
        }
    )


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
