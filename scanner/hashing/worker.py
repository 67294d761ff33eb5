"""The worker process: `python -I -m scanner.hashing.worker --socket-fd N …`.

It receives open descriptors, reads each file once, answers with its exact digests first and, for a
picture, with its perceptual hashes after, so that a decoder's crash costs only the latter. Before the
first file it gives up every power it has (`scanner.hashing.sandbox`).
"""

from __future__ import annotations

import argparse
import os
import socket
import stat
import sys
from collections.abc import Sequence

from scanner.hashing import decode, exact, frames, kinds, media, parts, samples, sandbox
from scanner.hashing.ahead import Ahead, Begun
from scanner.hashing.frames import Done, Exact, JobFrame, ReadStatus
from scanner.model.errors import ScannerError
from scanner.model.hashes import PerceptualHash
from scanner.model.ports import Hasher


class Worker:
    """Hashes the files it is sent, one after the other."""

    def __init__(
        self,
        sock: socket.socket,
        exact_kinds: Sequence[str],
        hashers: Sequence[Hasher],
        *,
        max_pixels: int,
        max_bytes: int,
    ) -> None:
        self._sock = sock
        self._exact_kinds = exact_kinds
        self._hashers = hashers
        self._kinds = tuple(h.kind for h in hashers)
        self._reduced = all(getattr(h, "accepts_reduced", False) for h in hashers)
        self._max_pixels = max_pixels
        self._max_bytes = max_bytes
        self._reader = exact.Reader()

    def prepare(self) -> None:
        """Load all code that any file may need."""
        decode.prepare(self._max_pixels)
        exact.new_hashes(self._exact_kinds)
        media.sniff(b"\0" * media.HEADER_SIZE)
        for mime, data in samples.tiny_pictures():
            content = exact.Content(len(data), {}, data)
            self._perceptual(0, content, mime)

    def run(self) -> None:
        """Work until the pool closes its end."""
        ahead = Ahead(self._sock, self._reader)
        for begun in ahead:
            ahead.note(media=self._do(begun))

    def _do(self, begun: Begun) -> bool:
        """Answer about one file; returns whether it was read whole."""
        job = begun.job
        try:
            reply, content = self._read(begun)
        except exact.ReadBudgetExceeded:
            reply, content = _unread(job, ReadStatus.TOO_LARGE), None
        except (OSError, MemoryError):
            reply, content = _unread(job, ReadStatus.IO_ERROR), None
        self._sock.send(frames.encode_exact(reply))
        if reply.more and content is not None:
            self._sock.send(self._perceptual(job.id, content, reply.media_type, begun.fd))
        return reply.status == ReadStatus.HASHED

    def _read(self, begun: Begun) -> tuple[Exact, exact.Content | None]:
        job, fd, before = begun.job, begun.fd, begun.stat or os.fstat(begun.fd)
        if not stat.S_ISREG(before.st_mode):
            return _unread(job, ReadStatus.IO_ERROR), None
        wanted = media.HEADER_SIZE
        if not job.media_only:
            wanted = max(wanted, min(before.st_size + 1, exact.CHUNK))
        header = bytes(begun.data)
        if len(header) < wanted:  # also where the whole of it seems to be there: only a read tells the end
            header += self._reader.read(fd, before.st_dev, wanted - len(header), len(header))
        mime = media.sniff(header[: media.HEADER_SIZE])
        if job.media_only and not media.is_media(mime):
            return _unread(job, ReadStatus.NOT_MEDIA, mime), None
        if before.st_size > self._max_bytes:
            return _unread(job, ReadStatus.TOO_LARGE, mime), None
        looked_into = bool(self._hashers) and parts.may_hold_pictures(mime)
        kept = looked_into and not mime.startswith("video/")  # of a film a few numbers are read again
        content = exact.read_and_hash(
            self._reader, fd, self._exact_kinds, header, len(header) < wanted,
            device=before.st_dev, size_hint=before.st_size,
            budget=self._max_bytes, keep=exact.KEEP if kept else 0,
        )  # fmt: skip
        changed = _moved(before, os.fstat(fd))
        more = looked_into and not changed
        return Exact(job.id, ReadStatus.HASHED, more, changed, content.size, mime, content.digests), content

    def _perceptual(self, job: int, content: exact.Content, mime: str, fd: int = -1) -> bytes:
        """The last DONE message of a file; one before it is sent if the file holds more than one picture."""
        hashes: list[PerceptualHash] = []
        sent = 0

        def say() -> None:
            nonlocal sent
            if hashes and fd >= 0:
                self._sock.send(frames.encode_done(Done(job, "", tuple(hashes), more=True), self._kinds))
                sent = len(hashes)

        try:
            stream = exact.open_for_decoding(self._reader, fd, content)
            pictures = parts.Parts(
                stream, content.data, mime, self._max_pixels, reduced=self._reduced, before_more=say
            )
            for part in pictures:
                found = self._hashes(part)
                if len(hashes) + len(found) > frames.MAX_HASHES:
                    pictures.incomplete()
                    break
                hashes += found
            problem = pictures.problem
        except MemoryError:
            problem = "out_of_memory"
        except Exception:  # noqa: BLE001 - a hasher may be somebody else's: its failure is this file's alone
            problem = "undecodable"
        return frames.encode_done(Done(job, problem, tuple(hashes[sent:])), self._kinds)

    def _hashes(self, part: parts.Part) -> list[PerceptualHash]:
        before = f"{part.name}." if part.name else ""
        return [
            PerceptualHash(hasher.kind, before + view, value, quality)
            for hasher in self._hashers
            for view, value, quality in hasher.hashes(part.picture)
        ]


def _unread(job: JobFrame, status: ReadStatus, mime: str = "") -> Exact:
    return Exact(job.id, status, more=False, changed=False, size=0, media_type=mime, digests={})


def _moved(before: os.stat_result, after: os.stat_result) -> bool:
    """Whether somebody wrote to the file between two looks."""
    return (before.st_size, before.st_mtime_ns, before.st_ctime_ns) != (
        after.st_size,
        after.st_mtime_ns,
        after.st_ctime_ns,
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scanner.hashing.worker")
    for name in (
        "socket-fd",
        "parent-pid",
        "uid",
        "gid",
        "address-space",
        "cpu-seconds",
        "max-pixels",
        "max-bytes",
    ):
        parser.add_argument(f"--{name}", type=int, required=True)
    for name in ("exact", "perceptual", "views"):
        parser.add_argument(f"--{name}", nargs="*", default=[])
    return parser.parse_args()


def main() -> None:
    args = _arguments()
    sock = socket.socket(fileno=args.socket_fd)
    try:
        worker = Worker(
            sock, args.exact, kinds.build_hashers(args.perceptual, args.views),
            max_pixels=args.max_pixels, max_bytes=args.max_bytes,
        )  # fmt: skip
        worker.prepare()
        confinement = sandbox.Confinement(
            args.socket_fd, args.parent_pid, args.uid, args.gid, args.address_space, args.cpu_seconds
        )
        sock.send(frames.encode_ready(sandbox.enter(confinement)))
        worker.run()
    except (sandbox.Orphaned, BrokenPipeError, ConnectionResetError):
        os._exit(0)  # the pool is gone: nobody is there to be told
    except (ScannerError, OSError, ValueError) as e:
        print(f"{type(e).__name__}: {e}", file=sys.stderr, flush=True)
        os._exit(1)
    os._exit(0)  # nothing is left to be done, and nothing of what decoders registered shall run


if __name__ == "__main__":
    main()
