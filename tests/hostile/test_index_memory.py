"""A list of any length and make is built in bounded memory, and with few files open."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from scanner.index import ListKey, Snapshot

# Values of two kinds that are each more than is kept in memory, and one value three hundred thousand times,
# which no grouping by its bytes divides.
SCRIPT = """
import json, resource, sys
from pathlib import Path
import numpy as np
from scanner.index import ListKey, SnapshotBuilder
from scanner.model.feeds import Packed
resource.setrlimit(resource.RLIMIT_NOFILE, (32, 32))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
folder = Path(sys.argv[1])
builder = SnapshotBuilder(key=ListKey(bytes(32)), scratch=folder)
rng = np.random.default_rng(1)
for _ in range(20):
    for kind, size in (("md5", 16), ("pdq", 32)):
        builder.add(Packed(kind, rng.integers(0, 256, 20_000 * size, dtype=np.uint8).tobytes(), "1"))
    builder.add(Packed("phash", b"the same" * 15_000, "2"))
info = builder.finish(folder / "s", meta={"feed": "f", "format": "test", "built_ns": 0}, durable=False)
grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print(json.dumps({"grown": grown, "left": [p.name for p in folder.iterdir()], "hashes": dict(info.hashes)}))
"""


def test_a_long_list_takes_bounded_memory_and_few_files(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT, str(tmp_path)], capture_output=True, timeout=300)
    assert done.returncode == 0, done.stderr.decode()
    said = json.loads(done.stdout)
    assert said["hashes"] == {"md5": 400_000, "pdq": 400_000, "phash": 300_000}
    assert said["left"] == ["s"]
    assert said["grown"] < 110_000  # KiB; the values alone are 22 MB, and ten times that as Python's objects
    snapshot = Snapshot.open(tmp_path / "s", key=ListKey(bytes(32)))
    repeats = snapshot.repeats("phash", 1)
    assert (repeats.values, repeats.entries) == (1, 300_000)
    numbers = snapshot.entries_of("phash")
    assert (numbers[1:] > numbers[:-1]).all(), "equal values stand in the order of the list"
