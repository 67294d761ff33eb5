"""The catalog: what has been seen, so that the unchanged is not read again and the known is matched at once.

`catalog` opens the file; `volume` reads and writes what is known of one volume. The files of a directory lie
in a chunk (`chunks`, whose columns are those of `integers`), which `directory_files` reads and changes and
`reading` goes through; `many` takes what is alike out of many of them, `digest_arrays` gives it to be
compared with lists, and `matching` says with which it was; `lacking` finds what lacks a new kind of hash.
`queries` has all SQL, `migrations/` the schema, `older` reads former layouts; `database` and `opening` deal
with SQLite and its failures.
"""

from scanner.catalog.catalog import Catalog
from scanner.catalog.chunks import native_packer
from scanner.catalog.lacking import Lacking
from scanner.catalog.records import DirectoryRecord, RowKey, VolumeStats
from scanner.catalog.volume import VolumeCatalog

__all__ = [
    "Catalog",
    "DirectoryRecord",
    "Lacking",
    "RowKey",
    "VolumeCatalog",
    "VolumeStats",
    "native_packer",
]
