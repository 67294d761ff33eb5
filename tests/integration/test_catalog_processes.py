"""Several processes and one catalog: readers beside the writer, two writers, and one that is killed."""

from __future__ import annotations

import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from scanner.catalog import Catalog, DirectoryRecord, VolumeCatalog
from scanner.model.files import FileStat, FileState, KnownFile
from scanner.model.hashes import Digests

PATHS = (b"a", b"b", b"c")
FILES = 100


def generation(n: int) -> list[DirectoryRecord]:
    """Directories in which everything says the same number; each generation has other names too."""
    rows = [
        KnownFile(
            FileStat(b"%03d" % (n + i), 0, i, n, n, n, 1, 0),
            FileState.CLEAN,
            Digests(n, "", {"md5": b"%016d" % n}),
        )
        for i in range(FILES)
    ]
    return [DirectoryRecord(path, b"%d" % n, rows, removed=[b"%03d" % (n - 1)]) for path in PATHS]


def generation_found(volume: VolumeCatalog, path: bytes) -> int:
    """The number, if the whole directory agrees on it."""
    directory = volume.directory(path)
    assert directory is not None
    n = int(directory.fingerprint)
    files = volume.files(directory.id)
    assert sorted(files) == [b"%03d" % (n + i) for i in range(FILES)]
    assert {known.stat.size for known in files.values()} == {n}
    assert (directory.clean, directory.bytes) == (FILES, n * FILES)
    return n


# Dies by SIGKILL at the k-th SQL statement of the commit, or by SIGXFSZ while it writes to the log.
DYING_WRITER = """
import os, resource, signal, sqlite3, sys
from pathlib import Path
sys.path.insert(0, sys.argv[4])
from test_catalog_processes import generation
from scanner.catalog import Catalog

connections = []
connect = sqlite3.connect
def remembered(*args, **kw):
    connections.append(connect(*args, **kw))
    return connections[-1]
sqlite3.connect = remembered
volume = Catalog.open(Path(sys.argv[1])).volume("v", b"/v", b"p")
left = int(sys.argv[2])
def count(statement):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
for record in generation(2):
    volume.record(record)
connections[-1].set_trace_callback(count)
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), resource.RLIM_INFINITY))
volume.commit()
os._exit(0)
"""
NEVER = 1 << 30
STATEMENTS = 1 + 1 + 3 * 5 + 1  # begin, what is matched; for each directory find it, read, write; commit
FRAME = 32768 + 24  # bytes of one page in the log


@pytest.mark.parametrize(
    ("statement", "log_bytes", "generation_left"),
    [
        *((statement, NEVER, 1) for statement in (1, 2, 4, 6, 8, STATEMENTS - 4, STATEMENTS - 1, STATEMENTS)),
        *((NEVER, log_bytes, 1) for log_bytes in (16, FRAME // 2, FRAME, FRAME + 100)),
        (NEVER, NEVER, 2),
    ],
)
def test_a_writer_that_dies_in_a_commit_leaves_everything_old_or_everything_new(
    tmp_path: Path, statement: int, log_bytes: int, generation_left: int
) -> None:
    path = tmp_path / "catalog.sqlite"
    with closing(Catalog.open(path)) as catalog:
        volume = catalog.volume("v", b"/v", b"p")
        for record in generation(1):
            volume.record(record)
        volume.commit()
    arguments = [str(path), str(statement), str(log_bytes), str(Path(__file__).parent)]
    child = subprocess.run([sys.executable, "-c", DYING_WRITER, *arguments], check=False)
    death = -signal.SIGKILL if statement != NEVER else -signal.SIGXFSZ if log_bytes != NEVER else 0
    assert child.returncode == death
    with closing(Catalog.open(path)) as catalog:
        assert catalog.note == ""
        volume = catalog.volume("v", b"/v", b"p")
        assert {generation_found(volume, p) for p in PATHS} == {generation_left}


READER = """
import sys
from pathlib import Path
from scanner.catalog import Catalog
volume = Catalog.open(Path(sys.argv[1]), read_only=True).volume("v", b"/v", b"p")
for line in sys.stdin:
    directory = volume.directory(b"a")
    media = {k.digests.media_type for k in volume.files(directory.id).values()} if directory else "nothing"
    print(directory and directory.fingerprint, media, flush=True)
"""


def test_a_reader_in_another_process_sees_each_commit_and_nothing_before_it(tmp_path: Path) -> None:
    path = tmp_path / "catalog.sqlite"
    with (
        closing(Catalog.open(path)) as catalog,
        subprocess.Popen(
            [sys.executable, "-c", READER, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as reader,
    ):
        assert reader.stdin is not None
        assert reader.stdout is not None

        def answer() -> str:
            assert reader.stdin is not None
            assert reader.stdout is not None
            reader.stdin.write("?\n")
            reader.stdin.flush()
            return reader.stdout.readline().strip()

        assert answer() == "None nothing"  # the volume itself is new to the catalog
        volume = catalog.volume("v", b"/v", b"p")
        for n, media_type in enumerate(["image/png", "image/new"]):
            stat = FileStat(b"x", 0, 1, 1, 1, 1, 1, 0)
            row = KnownFile(stat, FileState.CLEAN, Digests(1, media_type))
            before = answer()
            volume.record(DirectoryRecord(b"a", b"%d" % n, [row]))
            assert answer() == before
            volume.commit()
            assert answer() == f"b'{n}' {{'{media_type}'}}"
        reader.stdin.close()
        assert reader.wait(10) == 0


def test_two_writers_take_turns_and_keep_each_others_words(tmp_path: Path) -> None:
    path = tmp_path / "catalog.sqlite"
    with closing(Catalog.open(path)) as one, closing(Catalog.open(path)) as two:
        volumes = [one.volume("v", b"/v", b"p"), two.volume("v", b"/v", b"p")]
        for n in range(4):
            row = KnownFile(
                FileStat(b"%d" % n, 0, 1, 1, 1, 1, 1, 0), FileState.CLEAN, Digests(1, f"image/{n}")
            )
            volumes[n % 2].record(DirectoryRecord(b"a", b"f", [row]))
            volumes[n % 2].commit()
        directory = volumes[0].directory(b"a")
        assert directory is not None
        for volume in volumes:
            found = volume.files(directory.id)
            assert {name: known.digests.media_type for name, known in found.items()} == {
                b"%d" % n: f"image/{n}" for n in range(4)
            }


def test_one_who_holds_sees_one_state_and_lets_writers_go_on(tmp_path: Path) -> None:
    path = tmp_path / "catalog.sqlite"
    with closing(Catalog.open(path)) as writer, closing(Catalog.open(path, read_only=True)) as reader:
        written = writer.volume("web", b"/srv", b"p")
        read = reader.volume("web", b"/srv", b"p")
        reader.hold()
        assert read.directory(b"") is None
        written.record(DirectoryRecord(b"", b"f", []))
        written.commit()
        assert read.directory(b"") is None
        reader.release()
        reader.release()
        assert read.directory(b"") is not None
