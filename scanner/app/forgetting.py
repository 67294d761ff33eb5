"""Forgetting a volume that is not scanned any more."""

from __future__ import annotations

from contextlib import closing, suppress

from scanner.app.app import App
from scanner.app.cataloguing import volumes_named
from scanner.catalog import Catalog, VolumeStats
from scanner.gaps import Gaps


def forget(app: App, name: str) -> list[VolumeStats]:
    """Delete what catalog, gaps and map of inodes know of a volume; cases and the ledger stay.

    A scan that meets it again reads all its files.

    Returns:
        what the catalog knew, for each root that the name had.

    Raises:
        ConfigError: nothing is known of a volume of this name.
        CatalogError, StorageError: it can't be deleted; some may be, and the rest can be forgotten later.
    """
    state = app.state
    with app.catalog() as there:  # for reading: to open it for writing would make one
        known = volumes_named(there, name)
    with closing(Catalog.open(state.catalog)) as catalog:
        for volume in known:
            with suppress(FileNotFoundError):
                state.inode_map(volume.name, volume.root).unlink()
            if state.gaps.exists():
                with Gaps.open(state.gaps) as gaps:
                    gaps.forget(volume.name, volume.root)
            catalog.forget_volume(volume.name, volume.root)  # last: by it the rest is found again
    return known
