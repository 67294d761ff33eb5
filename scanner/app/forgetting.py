"""Forgetting a volume that is not scanned any more."""

from __future__ import annotations

from contextlib import ExitStack, suppress

from scanner.app.cataloguing import volumes_named
from scanner.app.state import StateDirectory
from scanner.catalog import Catalog, VolumeStats
from scanner.gaps import Gaps


def forget(state: StateDirectory, name: str) -> list[VolumeStats]:
    """Delete what catalog, gaps and map of inodes know of a volume; cases and the ledger stay.

    A scan that meets it again reads all its files.

    Returns:
        what the catalog knew, for each root that the name had.

    Raises:
        ConfigError: nothing is known of a volume of this name.
        CatalogError, StorageError: it can't be deleted; some may be, and the rest can be forgotten later.
    """
    # Not opened where there is none: it would be made.
    catalog = Catalog.open(state.catalog) if state.catalog.exists() else None
    with ExitStack() as stack:
        if catalog is not None:
            stack.callback(catalog.close)
        known = volumes_named(catalog, name)
        for volume in known:
            with suppress(FileNotFoundError):
                state.inode_map(volume.name, volume.root).unlink()
            if state.gaps.exists():
                with Gaps.open(state.gaps) as gaps:
                    gaps.forget(volume.name, volume.root)
            if catalog is not None:  # last: by it the rest is found again
                catalog.forget_volume(volume.name, volume.root)
        return known
