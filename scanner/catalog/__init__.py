"""The catalog: what has been seen, so that the unchanged is not read again and the known is matched at once.

`catalog` opens the file; `volume` reads and writes the rows of one volume; `queries` has all SQL,
`migrations/` the schema; `packing` turns records into rows; `database` and `opening` deal with SQLite
and its failures.
"""

from scanner.catalog.catalog import Catalog
from scanner.catalog.records import DirectoryRecord, RowKey, VolumeStats
from scanner.catalog.volume import VolumeCatalog

__all__ = ["Catalog", "DirectoryRecord", "RowKey", "VolumeCatalog", "VolumeStats"]
