"""The process that verifies one OpenPGP signature: `python -I -m scanner.pipeline.verify_process`.

gpgv is a parser of hostile input in C, and the list it hashes is not believed yet. So this process gives up
all power but that of becoming gpgv (see `feed_confinement`), and then becomes it: without home directory,
agent, network or environment, with limits on memory and time, in one folder that holds the signature and the
pinned keys. The list is its standard input; its status lines go to stdout, and mean what
`scanner.feeds.trust.openpgp` says.
"""

from __future__ import annotations

import json
import os
import sys
from glob import glob
from typing import Any

from scanner.pipeline import feed_confinement
from scanner.pipeline.feed_confinement import Confinement

SIGNATURE, KEYS = "signature", "keys"
"""Names of files in the process's directory."""

_LOADERS = ("/lib64/ld-linux-*.so.*", "/lib/ld-linux-*.so.*", "/lib/ld-musl-*.so.*", "/lib/*/ld-linux-*.so.*")


def loaders() -> list[str]:
    """What the kernel starts a program with: it is executed as well."""
    return sorted({os.path.realpath(path) for pattern in _LOADERS for path in glob(pattern)})


def become_gpgv(order: dict[str, Any]) -> None:
    """Give up all power and become gpgv; returns only by an error.

    Raises:
        OSError: a layer was refused, or gpgv can't be run.
    """
    gpgv, descriptor = order["gpgv"], order["descriptor"]
    feed_confinement.enter(
        Confinement.of(order["confinement"]),
        network=False,
        keep={descriptor},
        programs=(gpgv, *loaders()),
    )
    os.lseek(descriptor, 0, os.SEEK_SET)
    os.dup2(descriptor, 0)
    os.close(descriptor)
    here = ("--homedir", ".", "--keyring", f"./{KEYS}")
    os.execve(gpgv, [gpgv, *here, "--status-fd", "1", "--", f"./{SIGNATURE}", "-"], {})


if __name__ == "__main__":
    become_gpgv(json.load(sys.stdin))
