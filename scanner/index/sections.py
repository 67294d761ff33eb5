"""The sections of a snapshot as tables. All of a file is untrusted until it was found to fit together."""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from scanner.index import details, layout
from scanner.index.details import AboutTable
from scanner.index.exact import ExactTable, check_starts
from scanner.index.hints import HINT_SIZE, NONCE_SIZE, length_of
from scanner.index.hints import SECTION as HINTS
from scanner.index.keyed import RECORD_SIZE, stored_size
from scanner.index.layout import DamagedLayout, KindMeta, Section
from scanner.index.mapped import MappedColumn, MappedTexts
from scanner.index.perceptual import TABLES_SIZE, PerceptualTable
from scanner.index.probing import SlotTables
from scanner.index.records import RecordTable
from scanner.index.shapes import SMALL, Shape, parse_shape
from scanner.model.hashes import KINDS


@dataclass(frozen=True, slots=True)
class OpenKind:
    """The tables of one hash kind; one of `exact` and `perceptual` is there."""

    meta: KindMeta
    keys: Section
    entries: memoryview
    exact: ExactTable | None
    perceptual: PerceptualTable | None


class Sections:
    """The sections of a mapped file.

    Raises (all methods):
        DamagedLayout: a section is missing, or can't be what it should be.
    """

    def __init__(self, file: mmap.mmap) -> None:
        self._file = file
        self._table = layout.parse_sections(memoryview(file))

    def section(self, kind: str, name: str) -> Section:
        """A section that must be there."""
        try:
            return self._table[kind, name]
        except KeyError:
            raise DamagedLayout(f"its section {kind} {name} is missing") from None

    def numbers(self, kind: str, name: str, code: str, count: int) -> memoryview:
        """A section of so many numbers, `H`, `I` or `Q`."""
        section = self.section(kind, name)
        view = memoryview(self._file)[section.offset : section.offset + section.length]
        if view.nbytes != count * {"H": 2, "I": 4, "Q": 8}[code]:
            raise DamagedLayout(f"its section {kind} {name} has the wrong length")
        numbers: memoryview = view.cast(code)  # type: ignore[call-overload]  # a literal in every call
        return numbers

    def column(self, kind: str, name: str, dtype: str) -> MappedColumn:
        """A section to be read from its beginning to its end."""
        section = self.section(kind, name)
        return MappedColumn(self._file, section.offset, section.length, dtype)

    def texts(self, ends: str, texts: str, count: int) -> MappedTexts | None:
        """Texts by the names of their two sections, None where they are missing."""
        if ("", ends) not in self._table:
            return None
        self.numbers("", ends, "Q", count)  # of the right length
        blob = self.section("", texts)
        return MappedTexts(self._file, self.section("", ends).offset, count, (blob.offset, blob.length))

    def has(self, kind: str, name: str) -> bool:
        """Whether there is such a section."""
        return (kind, name) in self._table

    def ids(self, entries: int) -> MappedTexts | None:
        """The publisher's ids, None where no entry has one."""
        return self.texts("id-ends", "ids", entries)

    def abouts(self) -> AboutTable | None:
        """The details of entries, None where there are none."""
        if ("", "about-entries") not in self._table:
            return None
        sections = [self.section("", name) for name, _ in details.COLUMNS]
        texts = self.texts("about-ends", "about-texts", self.section("", "about-ends").length // 8)
        assert texts is not None
        return details.mapped(self._file, [(s.offset, s.length) for s in sections], texts)

    def records(self) -> RecordTable | None:
        """The records by key, None where there are none."""
        if ("", "record-keys") not in self._table:
            return None
        keys = self.section("", "record-keys")
        count = keys.length // RECORD_SIZE
        if keys.length % RECORD_SIZE or not count:
            raise DamagedLayout("its section  record-keys has the wrong length")
        self.numbers("", "record-entries", "I", count)
        self.numbers("", "record-changed", "Q", count)
        starts = self.numbers("", "record-starts", "I", layout.STARTS)
        check_starts(np.asarray(starts), count)
        entries, changed = (self.section("", f"record-{name}").offset for name in ("entries", "changed"))
        return RecordTable(self._file, keys.offset, entries, changed, starts, count)

    def kind(self, name: str, meta: KindMeta, *, keyed: bool) -> OpenKind:
        """The tables of one kind."""
        known = KINDS.get(name)
        if known is not None and (stored_size(known, keyed=keyed), known.exact) != (meta.size, meta.exact):
            raise DamagedLayout(f"it does not have {name} as it is")
        keys = self.section(name, "keys")
        if keys.length != meta.hashes * meta.size or not meta.hashes:
            raise DamagedLayout(f"its section {name} keys has the wrong length")
        entries = self.numbers(name, "entries", "I", meta.hashes)
        if not meta.exact:
            return OpenKind(meta, keys, entries, None, self._perceptual(name, meta, keys))
        starts = self.numbers(name, "starts", "I", layout.STARTS)
        check_starts(np.asarray(starts), meta.hashes)
        if (name, "fine-starts") in self._table:
            starts = self._fine(name, meta.hashes)
        if (name, HINTS) in self._table:
            self.hints(name, meta.hashes)  # of the right length
        return OpenKind(meta, keys, entries, ExactTable(self._file, keys.offset, meta.size, starts), None)

    def hints(self, name: str, rows: int) -> tuple[bytes, MappedColumn]:
        """The nonce and the column of hints of so many rows."""
        section = self.section(name, HINTS)
        if section.length != length_of(rows):
            raise DamagedLayout(f"its section {name} {HINTS} has the wrong length")
        start = section.offset + NONCE_SIZE
        column = MappedColumn(self._file, start, rows * HINT_SIZE, f"({HINT_SIZE},)u1")
        return self._file[section.offset : start], column

    def _fine(self, name: str, rows: int) -> memoryview:
        buckets = self.section(name, "fine-starts").length // 4 - 1
        if not layout.BUCKETS < buckets <= 1 << 32 or buckets & (buckets - 1):
            raise DamagedLayout("a bucket table has the wrong length")
        starts = self.numbers(name, "fine-starts", "I", buckets + 1)
        check_starts(np.asarray(starts), rows)
        return starts

    def _perceptual(self, name: str, meta: KindMeta, keys: Section) -> PerceptualTable:
        hashes = np.frombuffer(self._file, np.uint8, keys.length, keys.offset).reshape(-1, meta.size)
        if (name, "slot-order") not in self._table:
            return PerceptualTable(hashes)
        order, starts = (self._array(self.section(name, s)) for s in ("slot-order", "slot-starts"))
        shape = self.shape(name)
        if meta.size != TABLES_SIZE or len(starts) != len(shape.widths) * (shape.buckets + 1):
            raise DamagedLayout("a slot table has the wrong length")
        starts = starts.reshape(len(shape.widths), -1)
        tables = SlotTables(shape, meta.hashes, order, starts)
        check_starts(starts, meta.hashes)
        return PerceptualTable(hashes, tables)

    def shape(self, name: str) -> Shape:
        """How the slot tables of a kind are made."""
        if (name, "slot-shape") not in self._table:
            return SMALL
        section = self.section(name, "slot-shape")
        return parse_shape(self._file[section.offset : section.offset + section.length])

    def _array(self, section: Section) -> npt.NDArray[np.uint32]:
        if section.length % 4:
            raise DamagedLayout(f"its section {section.kind} {section.name} has the wrong length")
        array: npt.NDArray[Any] = np.frombuffer(self._file, "<u4", section.length // 4, section.offset)
        return array
