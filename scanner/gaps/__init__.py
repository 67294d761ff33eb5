"""What scans could not look at, and since when: so that coverage has an age, and a path an explanation.

`store` keeps it in one SQLite file; `records` are what goes in and comes out.
"""

from scanner.gaps.records import Gap, VolumeRecord
from scanner.gaps.store import Gaps

__all__ = ["Gap", "Gaps", "VolumeRecord"]
