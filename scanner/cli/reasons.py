"""Answers and reasons of scans and walks in words for people."""

from __future__ import annotations

from collections.abc import Mapping

ANSWERS: Mapping[str, str] = {
    "clean": "Scanned as it is, and in none of the lists of now",
    "not_media": "Looked at as it is: no picture and no video by its content, so it is not hashed",
    "hit": "Scanned as it is, and listed",
    "exception": "Scanned as it is; a person said that it is a false positive, so it is left alone",
    "unmatched": "Hashed as it is, and not yet matched with the lists of now",
    "due": "The next scan looks at it",
    "directory": "A directory that is walked",
    "gone": "Not there any more, and on record",
    "limit": "Not scanned for a limit",
    "failed": "Scans come to it and can't look at it, or not at all of it",
    "left_out": "Not scanned by choice",
    "no_file": "Not scanned: no regular file",
    "absent": "There is no such path, and nothing is on record of one",
    "refused": "You may not look at it; whoever scans perhaps may",
    "unknown": "Scans come to it; what they found is not known here",
}

REASONS: Mapping[str, str] = {
    # by choice
    "excluded": "a pattern under `exclude` names it",
    "mail_store": "private mail or chat (`mail_stores` with a stated ground looks at it)",
    "own": "a directory of hostsweep's own",
    # counted, not walked
    "snapshot": "a directory of snapshots (`snapshots: true` walks it)",
    "mount": "something else is mounted there (`one_filesystem: false` enters it)",
    "pseudo_filesystem": "a file system of the kernel's, which holds nothing of a customer",
    "network_filesystem": "a network or user space file system: configure it as a volume of its own",
    "symlink": "a symbolic link, and links are not followed",
    "fifo": "a pipe",
    "socket": "a socket",
    "device": "a device",
    # limits
    "depth": "it lies too deep in the tree",
    "too_large": "larger than `hashing.max_file_size`",
    "sparse": "it claims far more than it holds",
    # failures
    "permission": "permission denied",
    "unreadable": "permission to look at it denied",
    "vanished": "it was gone when it was to be read",
    "changed": "it changed while it was read",
    "undecodable": "a broken picture; its exact digests are compared",
    "io": "reading failed",
    "link_race": "a link stood in the place of a directory",
    "too_deep": "too many open directories",
    # due
    "new": "no scan has come to it yet",
    "young": "it was hashed so soon after a change that another one could not be seen",
    "other_kinds": "it was hashed with other kinds of hashes than those of now",
    # hits
    "listed_before": "a list of then had it; the lists of now do not tell",
}
