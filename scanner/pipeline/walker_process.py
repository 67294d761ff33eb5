"""The process that walks one volume: `python -I -m scanner.pipeline.walker_process`.

Walking is nearly all system calls that let go of the interpreter lock only to fight for it again:
two threads walk at half the speed of one (measured), so each volume is walked in a process of its own.
It reads the catalog and writes nothing; what it meets goes down one socket.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from scanner.catalog import Catalog
from scanner.model.errors import ScannerError
from scanner.model.files import DirectoryMet
from scanner.pipeline.frames import Cached, Frame, WalkBroken, WalkEnded, encode
from scanner.pipeline.walking import WalkOrder
from scanner.sources import walk, walk_volume
from scanner.system.collecting import collect_seldom, end_without_collecting
from scanner.system.disks import is_rotational
from scanner.system.power import die_with_parent, raise_descriptor_limit

# Directories in one message: enough that the cost of a message is spread, few enough that progress moves.
_CACHED_BATCH = 256


def _together(events: Iterator[Frame]) -> Iterator[Frame]:
    """Add up runs of directories that need nothing."""
    paths: list[bytes] = []
    clean = not_media = size = 0
    for event in events:
        if isinstance(event, DirectoryMet) and event.cached:
            paths.append(event.path)
            clean += event.clean
            not_media += event.not_media
            size += event.unchanged_bytes
            if len(paths) < _CACHED_BATCH:
                continue
        if paths:
            yield Cached(tuple(paths), clean, not_media, size)
            paths, clean, not_media, size = [], 0, 0, 0
        if not (isinstance(event, DirectoryMet) and event.cached):
            yield event
    if paths:
        yield Cached(tuple(paths), clean, not_media, size)


def _frames(order: WalkOrder, root_fd: int) -> Iterator[Frame]:
    policy = replace(order.policy(), by_inode=is_rotational(root_fd))
    if not order.catalog:
        yield from _together(walk(root_fd, policy, None, time.time_ns))
        return
    with closing(Catalog.open(Path(order.catalog), read_only=True)) as catalog:
        known = catalog.volume(order.volume, order.root, order.profile)
        events = walk_volume(root_fd, order.root, policy, known, time.time_ns, order.shortcut())
        catalog.hold()
        for frame in _together(events):
            catalog.release()  # whoever takes the frame may take his time
            yield frame
            catalog.hold()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--socket-fd", type=int, required=True)
    parser.add_argument("--root-fd", type=int, required=True)
    parser.add_argument("--order", required=True, help="base64 of the order as JSON")
    args = parser.parse_args()
    die_with_parent()
    collect_seldom()
    end_without_collecting()
    raise_descriptor_limit()
    sock = socket.socket(fileno=args.socket_fd)
    order = WalkOrder.from_json(json.loads(base64.b64decode(args.order)))
    try:
        for frame in _frames(order, args.root_fd):
            sock.sendall(encode(frame))
        sock.sendall(encode(WalkEnded()))
    except BrokenPipeError:
        os._exit(0)  # the pipeline stopped: nobody is there to be told
    except (ScannerError, OSError) as e:
        sock.sendall(encode(WalkBroken(str(e))))
        sys.exit(1)


if __name__ == "__main__":
    main()
