"""Subvolumes of btrfs: which one a directory lies in, and which of its inodes changed since a generation, by
BTRFS_IOC_TREE_SEARCH_V2 (linux 3.16).

A generation is a transaction of the file system. Its tree knows the last one of every node, so what did not
change is not read. Needs CAP_SYS_ADMIN. Layouts: include/uapi/linux/btrfs.h and btrfs_tree.h.
"""

from __future__ import annotations

import fcntl
import struct
from collections.abc import Iterator

import numpy as np

from scanner.system.inodes import Inodes, inodes

_SEARCH = 0xC0709411  # _IOWR(0x94, 17, struct btrfs_ioctl_search_args_v2)
# Tree, objects from and to, offsets from and to, transactions from and to, types from and to, items; room.
_KEY = struct.Struct("<7Q3I4x32xQ")
_ITEM = struct.Struct("<QQQII")  # transaction, object, offset, type, length
_INODE_ITEM = 1
_ROOM = 1 << 18
_MOST = 0xFFFFFFFFFFFFFFFF
_LARGEST_INODE = _MOST - 256  # BTRFS_LAST_FREE_OBJECTID
# struct btrfs_inode_item, what is used of its 160 bytes.
_RECORD = np.dtype(
    {
        "names": ["transaction", "size", "mode", "ctime", "ctime_ns"],
        "formats": ["<u8", "<u8", "<u4", "<i8", "<u4"],
        "offsets": [8, 16, 52, 124, 132],
        "itemsize": 160,
    }
)


def btrfs_inodes(fd: int, since: int) -> Iterator[Inodes]:
    """Inodes of the subvolume of an open directory that changed after a generation, by ascending number.

    Raises:
        OSError: EPERM without the right, ENOTTY where this is no btrfs.
    """
    buffer = bytearray(_KEY.size + _ROOM)
    first = 0
    while True:
        objects, offsets, transactions = (first, _LARGEST_INODE), (0, _MOST), (since + 1, _MOST)
        types, tree, items = (_INODE_ITEM, _INODE_ITEM), 0, 0xFFFFFFFF
        _KEY.pack_into(buffer, 0, tree, *objects, *offsets, *transactions, *types, items, _ROOM)
        fcntl.ioctl(fd, _SEARCH, buffer)
        count = int.from_bytes(buffer[64:68], "little")
        if not count:
            return
        numbers, records, at = [], [], _KEY.size
        for _ in range(count):
            _, number, _, kind, length = _ITEM.unpack_from(buffer, at)
            at += _ITEM.size
            if kind == _INODE_ITEM and length >= _RECORD.itemsize:
                numbers.append(number)
                records.append(bytes(buffer[at : at + _RECORD.itemsize]))
            at += length
            first = number + 1
        if numbers:
            found = np.frombuffer(b"".join(records), _RECORD)
            newer = found["transaction"] > since  # a leaf brings its unchanged neighbours along
            found, which = found[newer], np.array(numbers, dtype="<u8")[newer]
            if len(which):
                ctime = found["ctime"] * 1_000_000_000 + found["ctime_ns"]
                yield inodes(which, ctime, found["size"], found["mode"])
