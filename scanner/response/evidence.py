"""What securing and recovery do alike: a fresh copy into the vault, then the original out of staging."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from scanner.model.errors import VaultError
from scanner.model.hashes import EXACT_KINDS
from scanner.model.steps import Step
from scanner.response.attributes import Attributes
from scanner.response.copying import fsync_directories
from scanner.response.items import Item
from scanner.response.places import Place, from_text, identity_at, to_text
from scanner.response.staging import StagingFolder
from scanner.response.vault import Vault
from scanner.system.identity import differ, mark_at


@dataclass(frozen=True, slots=True)
class SecureDetails:
    """What the record of a securing step says: all that recovery needs.

    Attributes:
        volume: the volume's name.
        place: where the file is taken from.
        inode: of the hashed file. The device's number is left out: it changes over reboots for btrfs,
            overlay and loop devices, and the staging folder is on the same device anyway.
        size: bytes, as hashed.
        digests: exact kinds to raw digest, as hashed.
        staging_inode: of the staging folder: another one may not have what this one has.
        mark: what the inode is beside its number (see `system.identity`), which is given to other files.
        staging: directory below the root that has the staging folder; b"" is the root itself.
        flags: IMMUTABLE and APPEND_ONLY, if they are taken off for this: to be set again where it goes back.
        atime_ns: when it was last read before we did; 0 where that isn't known.
    """

    volume: str
    place: Place
    inode: int
    size: int
    digests: Mapping[str, bytes]
    staging_inode: int
    mark: str = ""
    staging: bytes = b""
    flags: int = 0
    atime_ns: int = 0

    def to_details(self) -> dict[str, str | int | None]:
        details = self.place.details()
        details["volume"] = to_text(self.volume.encode("utf-8", "surrogateescape"))
        details["inode"] = self.inode
        details["size"] = self.size
        details["staging_inode"] = self.staging_inode
        details["mark"] = self.mark
        details["staging"] = to_text(self.staging)
        details["flags"] = self.flags
        details["atime_ns"] = self.atime_ns
        details.update({f"digest_{kind}": digest.hex() for kind, digest in self.digests.items()})
        return details

    @classmethod
    def of_step(cls, step: Step) -> SecureDetails:
        """The details of a recorded step.

        Raises:
            ValueError, KeyError: they are not those of a securing step.
        """
        details = step.details
        return cls(
            volume=from_text(details["volume"]).decode("utf-8", "surrogateescape"),
            place=Place.of_details(details),
            inode=int(details["inode"] or 0),
            size=int(details["size"] or 0),
            digests={
                k: bytes.fromhex(str(details[f"digest_{k}"])) for k in EXACT_KINDS if f"digest_{k}" in details
            },
            staging_inode=int(details["staging_inode"] or 0),
            # Steps of older versions have none of these.
            mark=str(details.get("mark") or ""),
            staging=from_text(details.get("staging") or ""),
            flags=int(details.get("flags") or 0),
            atime_ns=int(details.get("atime_ns") or 0),
        )


def keep_copy(
    vault: Vault,
    step: Step,
    details: SecureDetails,
    fd: int,
    attributes: Attributes,
    parent_uid: int | None,
) -> Item:
    """Copy the open original into the vault, check the copy, write the manifest; durable on return.

    Raises:
        ContentChangedError: it is not what was hashed before; the vault has nothing of it.
        SourceError, VaultError: it could not be read or kept.
    """
    place = details.place
    below = tuple(place.directory.split(b"/")) if place.directory else ()
    digests: dict[str, bytes] = {}
    try:
        with vault.storing():
            digests = vault.store_copy(fd, step.quarantine_id, details.digests, details.size)
            item = Item(
                id=step.quarantine_id,
                case_id=step.case_id,
                volume=details.volume,
                root=place.root,
                components=(*below, place.name),
                parent_uid=parent_uid,
                size=details.size,
                attributes=attributes,
                digests=digests,
                secured_ns=vault.now_ns(),
                inode=details.inode,
                mark=details.mark,
                staging=details.staging,
            )
            vault.keep(item)
    except VaultError:
        # An object without a manifest would be content that nobody accounts for.
        with suppress(VaultError):
            vault.discard(step.quarantine_id, digests.get("sha256"))
        raise
    return item


def is_staged(staging: StagingFolder, token: bytes, details: SecureDetails) -> bool:
    """Whether what lies in staging is the file that was hashed: same device as the folder, inode and mark.

    Raises:
        OSError: it can't be looked at.
    """
    found = identity_at(staging.fd, token)
    if found != (staging.identity()[0], details.inode):
        return False
    return not differ(details.mark, mark_at(staging.fd, token))


def remove_staged(staging: StagingFolder, token: bytes, details: SecureDetails) -> bool:
    """Remove the original from staging, if it is the one; returns whether it is gone, durably.

    Raises:
        OSError: it can't be removed.
    """
    found = identity_at(staging.fd, token)
    if found is not None and not is_staged(staging, token, details):
        return False
    if found is not None:
        os.unlink(token, dir_fd=staging.fd)
    fsync_directories([staging.fd])
    return True
