"""Tables of programs and organisations whose columns are public: CSV with the mapping already made.

What is known of them comes from public code that reads them: IPED's detector of INTERPOL's ICSE,
multi2mactime's notes on Griffeye's exports, and md5deep's reader of HashKeeper.
"""

from __future__ import annotations

from scanner.feeds.formats.csv import SIGNATURES, CsvFormat, Layout

_YES = ("y", "yes", "t", "true")
_NO = ("n", "no", "f", "false")

BASELINE, OTHER = "baseline", "other"
"""Categories of ICSE: the worst material, illegal in every country that takes part; and all else."""


class KnownCsv(CsvFormat):
    """A table that is recognised by its headers."""

    def proposes(self, head: bytes) -> str | None:
        headers = {header.casefold() for header in self._headers(head)}
        if not SIGNATURES[self.name] <= headers:
            return None
        return f"its first line has the columns of {self.name}"


class IcseFormat(KnownCsv):
    """INTERPOL's ICSE database, as delivered beside VICS: `;` between columns, and rows of uneven length."""

    layout = Layout(
        columns={"Image ID": "id", "Baseline": "category"},
        values={"category": {**dict.fromkeys(_YES, BASELINE), **dict.fromkeys((*_NO, ""), OTHER)}},
        delimiter=";",
        ragged=True,
    )

    @property
    def name(self) -> str:
        return "icse"

    @property
    def default_categories(self) -> frozenset[str] | None:
        return frozenset({BASELINE})


class GriffeyeFormat(KnownCsv):
    """Griffeye's export of a case as CSV. Categories are words; the two that name illegal material in the set
    of the United States become 1 and 2, as in VICS, and act; others stay as they are written."""

    layout = Layout(
        values={
            "category": {
                "Child Abuse Material (CAM)": "1",
                "Child Exploitive (non-CAM) / Age Difficult": "2",
                "Child Exploitive (Non-CAM)/Age Difficult": "2",
                "-1": "0",
            }
        },
        lenient=True,
    )

    @property
    def name(self) -> str:
        return "griffeye"

    @property
    def default_categories(self) -> frozenset[str] | None:
        return frozenset({"1", "2"})


class HashKeeperFormat(KnownCsv):
    """HashKeeper's `.hsh`: one MD5 a row, with the file's name. It has no categories."""

    layout = Layout(
        columns={"hash": "md5", "file_id": "id"},
        delimiter=",",
        lenient=True,
    )

    @property
    def name(self) -> str:
        return "hashkeeper"
