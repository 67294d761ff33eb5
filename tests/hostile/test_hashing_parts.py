"""Pictures of a file beside its first: locked workers find them, and none makes them work for ever."""

from __future__ import annotations

import base64
import gzip
import hashlib
import os
import select
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scanner.hashing import HashJob, HashResult, WorkerPool, WorkerSettings
from scanner.hashing.frames import MAX_HASHES
from scanner.hashing.pdq import PdqHasher
from tests.forms import animated, bomb, forms, saved, scene, svg, tiff_with_preview, with_thumbnail

SECONDS = 25.0  # any of these files may take, on a machine that is busy with other things
LISTED, OTHER = scene(1), scene(2)
FORMS = forms(LISTED, OTHER)

Hash = Callable[[bytes], HashResult]


@pytest.fixture(scope="module")
def pool() -> Iterator[WorkerPool]:
    pool = WorkerPool(WorkerSettings(base_seconds=60), 1)
    pool.start()
    yield pool
    pool.stop()


@pytest.fixture
def hashed(pool: WorkerPool, tmp_path: Path) -> Hash:
    def hash_one(content: bytes, *, media_only: bool = True) -> HashResult:
        path = tmp_path / "file"
        path.write_bytes(content)
        fd = os.open(path, os.O_RDONLY)
        pool.submit(HashJob(1, fd, len(content), media_only))
        pool.prove()
        pool.flush()
        begun = time.monotonic()
        try:
            while not (results := pool.poll(time.monotonic())):
                select.select([pool.fileno()], [], [], 1)
                assert time.monotonic() < begun + 60
        finally:
            os.close(fd)
        assert time.monotonic() < begun + SECONDS
        (result,) = results
        assert result.digests is not None
        if result.status == "hashed":
            assert result.digests.exact["sha256"] == hashlib.sha256(content).digest()
        return result

    return hash_one


def parts_of(result: HashResult, picture: Image.Image = LISTED) -> set[str]:
    """The parts of a file by which a picture is found; "" is the file's own picture."""
    assert result.digests is not None
    known = [int.from_bytes(value, "big") for _, value, _ in PdqHasher().hashes(picture)]
    return {
        h.view.rpartition(".")[0]
        for h in result.digests.perceptual
        if any((int.from_bytes(h.value, "big") ^ k).bit_count() <= 31 for k in known)
    }


def problem_of(result: HashResult) -> str:
    assert result.digests is not None
    return result.digests.problem


@pytest.mark.parametrize("name", FORMS)
def test_a_picture_is_found_in_every_form_by_a_locked_worker(
    pool: WorkerPool, hashed: Hash, name: str
) -> None:
    content, part = FORMS[name]
    result = hashed(content)
    assert parts_of(result) == {part}
    assert problem_of(result) == ("undecodable" if name == "large.psb" else "")
    assert not pool.restarts


def test_a_program_with_a_picture_behind_it_is_looked_into_where_all_files_are(hashed: Hash) -> None:
    content = b"\x7fELF\2\1\1" + np.random.default_rng(5).bytes(300_000) + saved(LISTED, "JPEG") + bytes(99)
    assert hashed(content).status == "not_media"
    assert parts_of(hashed(content, media_only=False)) == {"embedded1"}


def test_thumbnails_are_looked_at_where_the_picture_itself_is_broken_and_only_there(hashed: Hash) -> None:
    small = saved(LISTED.resize((160, 120)), "JPEG")
    whole = with_thumbnail(saved(OTHER, "JPEG"), small)
    assert parts_of(hashed(whole)) == set()
    result = hashed(whole[: len(small) + 300])
    assert parts_of(result) == {"embedded1"} and problem_of(result) == "undecodable"


@pytest.mark.parametrize("progressive", [False, True])
def test_a_truncated_picture_is_decoded_as_far_as_it_goes_and_marked(hashed: Hash, progressive: bool) -> None:
    content = saved(LISTED, "JPEG", quality=90, progressive=progressive)
    almost = hashed(content[: len(content) * 97 // 100])
    assert parts_of(almost) == {""} and problem_of(almost) == "truncated"
    part = hashed(content[: len(content) // 2])
    assert part.digests is not None and part.digests.perceptual and problem_of(part) == "truncated"
    little = hashed(content[: len(content) // 12])
    assert little.digests is not None and problem_of(little) in ("undecodable", "truncated")
    assert progressive or not little.digests.perceptual


@pytest.mark.parametrize("form", ["PNG", "GIF", "BMP", "TIFF"])
def test_other_formats_that_are_cut_off_are_found_too(hashed: Hash, form: str) -> None:
    content = saved(LISTED, form)
    result = hashed(content[: len(content) * 98 // 100])
    assert problem_of(result) == "truncated" and parts_of(result) == {""}


def test_stripes_of_two_pictures_are_not_alike(hashed: Hash) -> None:
    one, other = saved(LISTED, "JPEG"), saved(OTHER, "JPEG")
    result = hashed(one[: len(one) // 3])
    filled = hashed(other[: len(other) // 3])
    assert result.digests is not None and filled.digests is not None
    values = [[h.value for h in r.digests.perceptual] for r in (result, filled) if r.digests]
    assert values[0] and values[1]
    assert all(
        (int.from_bytes(a, "big") ^ int.from_bytes(b, "big")).bit_count() > 60
        for a in values[0] for b in values[1]
    )  # fmt: skip


def many_frames() -> bytes:
    """A GIF of 9000 frames of 1000x1000 in 300 KB: one dot each, the canvas is 9 gigapixels in sum."""
    head = b"GIF89a" + struct.pack("<HHBBB", 1000, 1000, 0xF0, 0, 0) + b"\0\0\0\xff\xff\xff"
    frame = b"\x21\xf9\x04\x04\x05\0\0\0" + b"\x2c" + struct.pack("<HHHHB", 3, 3, 1, 1, 0)
    data = b"\x02\x02\x44\x01\x00"
    return head + (frame + data) * 9000 + b"\x3b"


def empty_chunks() -> bytes:
    """A PNG with more chunks than there are steps to walk through a file."""
    png = saved(OTHER, "PNG")
    empty = struct.pack(">I4sI", 0, b"teSt", zlib.crc32(b"teSt"))
    return png[:-12] + empty * 600_000 + png[-12:]


def loops() -> bytes:
    """Directories of a TIFF that lead to each other, with offsets far outside and counts too large."""
    entry = struct.pack("<HHII", 330, 4, 1 << 28, 8) + struct.pack("<HHII", 513, 4, 1, 0xFFFFFFF0)
    entry += struct.pack("<HHII", 514, 4, 1, 0xFFFFFFFF) + struct.pack("<HHII", 273, 4, 0x3FFFFFFF, 16)
    one = struct.pack("<H", 4) + entry
    content = b"II*\0\x08\0\0\0" + one + struct.pack("<I", 100)
    return content.ljust(100, b"\0") + one + struct.pack("<I", 8) + bytes(100)


def nested_svg() -> bytes:
    content = svg(saved(Image.new("L", (20, 20)), "PNG"))
    for _ in range(9):
        content = svg(content, "image/svg+xml")
    return content


def svgz_of_svgz() -> bytes:
    inner = gzip.compress(b"<svg>" + b" " * (40 << 20) + b"</svg>")
    address = b'<image href="data:image/svg+xml;base64,' + base64.b64encode(inner) + b'"/>'
    return gzip.compress(b"<svg>" + address * 200 + b"</svg>")


BOMBS = {
    "frames": (many_frames, "partial"),
    "embedded": (lambda: saved(OTHER, "JPEG") + saved(OTHER.resize((64, 64)), "JPEG") * 900, "partial"),
    "large embedded": (lambda: saved(OTHER, "JPEG") + bomb(16_000, 16_000) * 9, "partial"),
    "huge embedded": (lambda: saved(OTHER, "JPEG") + bomb(60_000, 6_000), "partial"),
    "signatures": (lambda: saved(OTHER, "PNG") + b"\xff\xd8\xff\xc0" * (1 << 22), "partial"),
    "segments": (lambda: saved(OTHER, "PNG") + b"\xff\xd8\xff\xe0\0\2" * (1 << 21), "partial"),
    "addresses": (lambda: svg(saved(OTHER.resize((32, 32)), "PNG")) * 5000, "partial"),
    "nested drawings": (nested_svg, "partial"),
    "inflating drawings": (svgz_of_svgz, "partial"),
    "inflating": (lambda: gzip.compress(b"<svg>" + b" " * (200 << 20)), "partial"),
    "base64": (lambda: b"<svg>data:;base64," + b"A&#" * (20 << 20), ""),
    "loops": (loops, "undecodable"),
    "pages": (lambda: animated("TIFF", [OTHER.resize((64, 48))] * 40), "partial"),
    "previews": (lambda: tiff_with_preview(b"\xff\xd8\xff\xc0" * 9), "undecodable"),
    "chunks": (lambda: empty_chunks() + saved(LISTED, "JPEG"), "partial"),
    "blocks": (lambda: saved(OTHER, "GIF")[:-1] + b"\x21\xff" + b"\1x" * (20 << 20), "partial"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_cost_a_bounded_time_are_told_and_cost_neither_worker_nor_the_first_picture(
    pool: WorkerPool, hashed: Hash, name: str
) -> None:
    make, problem = BOMBS[name]
    content = make()
    result = hashed(content)
    assert problem_of(result) == problem
    assert result.digests is not None and len(result.digests.perceptual) <= MAX_HASHES
    if content[:5] not in (b"GIF89", b"<svg>") and problem == "partial" and b"<svg" not in content[:99]:
        assert content[:1] == b"\x1f" or any("." not in h.view for h in result.digests.perceptual)
    assert not pool.restarts


def test_a_raw_picture_whose_large_preview_may_lie_further_than_is_searched_is_partial(hashed: Hash) -> None:
    thumbnail = tiff_with_preview(saved(OTHER.resize((160, 120)), "JPEG"))
    result = hashed(thumbnail + bytes(64 << 20))
    assert problem_of(result) == "partial" and result.digests is not None and result.digests.perceptual
    assert problem_of(hashed(thumbnail + bytes(1 << 20))) == ""
    large = tiff_with_preview(saved(OTHER.resize((640, 480)), "JPEG"))
    assert problem_of(hashed(large + bytes(64 << 20))) == ""


def test_what_was_found_before_a_worker_was_lost_over_another_picture_counts(tmp_path: Path) -> None:
    pool = WorkerPool(WorkerSettings(base_seconds=0.5, canary_every=0), 1)
    pool.start()
    # Some six seconds of small frames, within what may be looked at: far more than the worker is given.
    first = animated("GIF", [LISTED.resize((64, 64)), OTHER.resize((64, 64))])
    content = first[:-1] + 4 * many_frames()[19:-1] + b"\x3b"
    path = tmp_path / "file"
    path.write_bytes(content)
    fd = os.open(path, os.O_RDONLY)
    try:
        pool.submit(HashJob(1, fd, len(content), True))
        pool.flush()
        while not (results := pool.poll(time.monotonic())):
            select.select([pool.fileno()], [], [], 0.1)
    finally:
        os.close(fd)
        pool.stop()
    assert problem_of(results[0]) == "decoder_timeout" and dict(pool.restarts) == {"timeout": 1}
    assert parts_of(results[0]) == {""}


def test_end_of_a_long_gif_is_walked_to_once(hashed: Hash) -> None:
    """Twice as many blocks would be more than there are steps for."""
    content = saved(OTHER, "GIF")[:-1] + b"\x21\xff" + b"\1x" * 300_000 + b"\0;" + saved(LISTED, "JPEG")
    assert "embedded1" in parts_of(hashed(content))


def test_picture_in_one_strip_of_a_tiff_is_the_page_and_no_preview(hashed: Hash) -> None:
    assert problem_of(hashed(saved(OTHER.resize((100, 80)), "TIFF", compression="jpeg"))) == ""


def test_each_page_has_the_box_that_it_has_alone(hashed: Hash) -> None:
    framed = Image.new("RGB", (LISTED.width + 60, LISTED.height + 60))
    framed.paste(LISTED, (30, 30))
    plain = OTHER.resize(framed.size)
    content = saved(
        plain, "TIFF", save_all=True, append_images=[plain.transpose(Image.Transpose.ROTATE_180), framed]
    )
    result = hashed(content)
    assert result.digests is not None
    boxes = {h.view.partition(".")[0] for h in result.digests.perceptual if ".box" in h.view}
    assert boxes == {"frame3"}


def test_more_hashes_than_a_byte_counts_arrive(pool: WorkerPool, hashed: Hash) -> None:
    def framed(seed: int) -> bytes:
        picture = scene(seed, (640, 480))
        whole = Image.new("RGB", (700, 540))
        whole.paste(picture, (30, 30))
        return saved(whole, "PNG")

    result = hashed(saved(OTHER, "JPEG") + b"".join(framed(seed) for seed in range(20, 36)))
    assert result.digests is not None and len(result.digests.perceptual) > 256
    assert not pool.restarts
