"""Progress is told some times a second, and always at the end."""

from __future__ import annotations

from scanner.model.outcomes import ScanCounts
from scanner.pipeline.reporting import Reporters
from scanner.pipeline.tally import Tally
from scanner.pipeline.volume import Volume


class _Progress(Reporters):
    def __init__(self) -> None:
        super().__init__([])
        self.told: list[int] = []

    def progress(self, volume: str, counts: ScanCounts, queued: int, hashing: int) -> None:
        self.told.append(queued)


def test_progress_is_told_seldom_and_at_the_end() -> None:
    reporter = _Progress()
    tally = Tally(Volume(name="v", root=b"/"), reporter)
    for n in range(1000):
        tally.progress(n, 0)
    tally.progress(-1, 0, last=True)
    assert reporter.told[0] == 0
    assert reporter.told[-1] == -1
    assert len(reporter.told) < 20
