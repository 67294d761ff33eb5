"""Which files a scan takes on."""

from __future__ import annotations

from dataclasses import dataclass

from scanner.model.files import FileStat

# A sparse file claims more than it holds: reading its holes would hold up all others.
_SPARSE_SIZE = 1 << 30  # bytes; smaller ones are read, whatever they hold
_SPARSE_SHARE = 8  # claimed size over stored size


@dataclass(frozen=True, slots=True)
class ScanLimits:
    """What a scan takes on.

    Attributes:
        media_only: leave out what isn't a picture or a video by content.
        max_file_size: bytes; larger files are skipped as "too_large".
    """

    media_only: bool = True
    max_file_size: int = 16 << 30

    def refuses(self, stat: FileStat) -> str:
        """Why a file is not read; "" if it is."""
        if stat.size > self.max_file_size:
            return "too_large"
        if stat.size > _SPARSE_SIZE and stat.blocks * 512 * _SPARSE_SHARE < stat.size:
            return "sparse"
        return ""
