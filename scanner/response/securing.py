"""Securing: the inode that was hashed, and no other, goes from its place into the vault.

The customer can rename, replace and link in his directory at any moment, and may do so on purpose. So nothing
is checked and then done by name: the name is moved out of his reach first, and looked at there.

 1. The intent is on record (`journal.begin`): place, inode, digests, the name in staging.
 2. The name is moved into the staging folder, over nothing (`rename_noreplace`).
 3. What was moved is looked at: the same device and inode as the hashed descriptor, else it is put back
    -> "raced". The descriptor is open all the while, so its inode number can't be given to another file.
 4. Both directories are synced.
 5. A fresh copy goes into the vault and is hashed as it is written. An old descriptor of the customer's still
    writes to the moved inode, so the inode itself is no evidence. Other digests than before: it is put back
    -> "changed".
 6. The manifest is written and synced: from here on the file is in the vault.
 7. The original is looked at again and removed from staging.
 8. The outcome is on record (`journal.finish`).

Whose duty the rest is:
- the caller opens the file and its directory beneath the volume's root without following links, hashes
  through that very descriptor, keeps both open until `secure` returns, and opened the case before;
- `recovery` finishes or undoes what a crash leaves between 1 and 8, from any point, any number of times;
- the caller reports other names of the same inode: only the one name is moved (`Attributes.links`);
- nothing here changes owner or mode in place, and nothing is removed by a path.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from enum import StrEnum

from scanner.model.errors import SourceError, VaultError, VaultFullError
from scanner.model.files import FileStat
from scanner.model.hashes import EXACT_KINDS, Digests
from scanner.model.ports import Clock, Ids
from scanner.model.steps import Step, StepJournal, StepKind, StepState
from scanner.response.attributes import Attributes, read_attributes
from scanner.response.copying import ContentChangedError, fsync_directories
from scanner.response.evidence import SecureDetails, keep_copy, remove_staged
from scanner.response.places import Place, identity_at, put_back
from scanner.response.staging import StagingFolder
from scanner.response.vault import Vault
from scanner.system.renaming import rename_noreplace

# Short words for why a file could not be moved or copied; anything else is "io".
_KINDS = {
    errno.EXDEV: "other_filesystem",  # a bind mount, a btrfs subvolume, a project quota's boundary
    errno.EPERM: "not_permitted",  # immutable or append-only, or a sticky directory for an ordinary user
    errno.EACCES: "permission",
    errno.EROFS: "read_only",
    errno.ENOSPC: "no_space",
    errno.EDQUOT: "no_space",
    errno.ESTALE: "stale",
}


@dataclass(frozen=True, slots=True)
class SecureRequest:
    """One hashed file that is to be secured. All descriptors stay the caller's.

    Attributes:
        volume, root: the volume's name and the path of its root.
        root_fd: the volume's root, beneath which the staging folder is.
        directory: path of the file's directory below the root, for the record.
        name: the file's name in that directory.
        fd: the descriptor that was hashed.
        stat: what was seen of it when it was hashed.
        directory_fd: the directory the file was opened in.
        digests: as hashed; at least one exact kind.
        case_id: the case it belongs to.
        atime_ns: the access time before it was read, nanoseconds since 1970; 0 where it isn't known.
    """

    volume: str
    root: bytes
    root_fd: int
    directory: bytes
    name: bytes
    fd: int
    stat: FileStat
    directory_fd: int
    digests: Digests
    case_id: str
    atime_ns: int = 0


class SecureOutcome(StrEnum):
    SECURED = "secured"
    RACED = "raced"  # another file stood at the name; it is back, or kept safe if its name was taken
    CHANGED = "changed"  # the file was written to after it was hashed; it is back
    VANISHED = "vanished"  # nothing stood at the name
    FAILED = "failed"  # the original is in its place, or kept safe; `kind` says why


@dataclass(frozen=True, slots=True)
class SecureResult:
    """What became of a request.

    Attributes:
        kind: for failures a short word (not_permitted, vault_full, io, …), else the outcome.
        text: words for people; where an object had to stay in staging, it says so.
        quarantine_id: the vault's item, "" unless secured.
        links_left: other names the inode still has.
    """

    outcome: SecureOutcome
    kind: str
    text: str = ""
    quarantine_id: str = ""
    links_left: int = 0

    @property
    def secured(self) -> bool:
        return self.outcome is SecureOutcome.SECURED

    @classmethod
    def failed(cls, kind: str, text: str) -> SecureResult:
        return cls(SecureOutcome.FAILED, kind, text)


class Securer:
    """Secures files into one vault. Keeps nothing between requests: usable from several threads.

    Args:
        owner: token of this process (system.locking.Owners), held until its steps are finished.
    """

    def __init__(self, vault: Vault, journal: StepJournal, clock: Clock, ids: Ids, owner: str) -> None:
        self._vault = vault
        self._journal = journal
        self._clock = clock
        self._ids = ids
        self._owner = owner

    def secure(self, request: SecureRequest) -> SecureResult:
        """Secure one file; see the head of this module.

        Raises:
            LedgerError: the journal can't be written. The step stays open, and recovery ends it.
        """
        try:
            attributes = read_attributes(request.fd)
            refused = self._refusal(request)
        except OSError as e:
            return SecureResult.failed(_kind(e), _text(e))
        if refused is not None:
            return refused
        try:
            staging = StagingFolder.open(request.root_fd, request.root)
        except VaultError as e:  # the volume's fault, not our storage's
            return SecureResult.failed("no_staging", str(e))
        with staging:
            return self._secure(request, staging, attributes)

    def _secure(self, request: SecureRequest, staging: StagingFolder, attributes: Attributes) -> SecureResult:
        step = self._step(request, staging)
        self._journal.begin(step)
        try:
            rename_noreplace(
                request.directory_fd,
                request.name,
                staging.fd,
                step.id.encode(),
                target_is_ours=True,
            )
        except OSError as e:
            return self._not_moved(request, staging, step, e)
        return self._moved(request, staging, step, attributes)

    def _refusal(self, request: SecureRequest) -> SecureResult | None:
        """What can be known beforehand: a file that can't be kept is not even moved."""
        st = os.fstat(request.fd)
        if (st.st_dev, st.st_ino) != (request.stat.device, request.stat.inode):
            return SecureResult(
                SecureOutcome.CHANGED, "changed", "another file was opened than the one hashed"
            )
        if not any(kind in EXACT_KINDS for kind in request.digests.exact):
            return SecureResult.failed("no_digest", "there is no exact digest to check the copy by")
        try:
            self._vault.check_room(request.digests.size)
        except VaultFullError as e:
            return SecureResult.failed("vault_full", str(e))
        except VaultError as e:
            return SecureResult.failed("io", str(e))
        return None

    def _step(self, request: SecureRequest, staging: StagingFolder) -> Step:
        exact = request.digests.exact
        details = SecureDetails(
            volume=request.volume,
            place=Place(request.root, request.directory, request.name),
            inode=request.stat.inode,
            size=request.digests.size,
            digests={kind: digest for kind, digest in exact.items() if kind in EXACT_KINDS},
            staging_inode=staging.identity()[1],
        )
        return Step(
            id=self._ids.new(),
            kind=StepKind.SECURE,
            case_id=request.case_id,
            quarantine_id=self._ids.new(),
            owner=self._owner,
            started_ns=self._clock.now_ns(),
            details=details.to_details(),
        )

    def _not_moved(
        self, request: SecureRequest, staging: StagingFolder, step: Step, error: OSError
    ) -> SecureResult:
        """The rename failed. Where it is done as link and unlink, it may have failed halfway."""
        result = SecureResult.failed(_kind(error), _text(error))
        if isinstance(error, FileNotFoundError):
            result = SecureResult(SecureOutcome.VANISHED, "vanished")
        return self._undo(request, staging, step, result)

    def _moved(
        self, request: SecureRequest, staging: StagingFolder, step: Step, attributes: Attributes
    ) -> SecureResult:
        identity = (request.stat.device, request.stat.inode)
        try:
            if identity_at(staging.fd, step.id.encode()) != identity:
                return self._undo(request, staging, step, SecureResult(SecureOutcome.RACED, "raced"))
            fsync_directories([staging.fd, request.directory_fd])
            parent_uid = os.fstat(request.directory_fd).st_uid
            details = SecureDetails.of_step(step)
            keep_copy(self._vault, step, details, request.fd, attributes, parent_uid)
        except ContentChangedError:
            return self._undo(request, staging, step, SecureResult(SecureOutcome.CHANGED, "changed"))
        except VaultFullError as e:
            return self._undo(request, staging, step, SecureResult.failed("vault_full", str(e)))
        except (VaultError, SourceError) as e:
            return self._undo(request, staging, step, SecureResult.failed("io", str(e)))
        except OSError as e:
            return self._undo(request, staging, step, SecureResult.failed(_kind(e), _text(e)))
        return self._kept(staging, step, identity)

    def _kept(self, staging: StagingFolder, step: Step, identity: tuple[int, int]) -> SecureResult:
        text = ""
        try:
            gone = remove_staged(staging, step.id.encode(), identity)
        except OSError as e:
            gone, text = False, f"; {_text(e)}"
        if gone:
            self._journal.finish(step.id, StepState.DONE, "secured")
        else:
            # Out of everybody's reach and safe in the vault; the step stays open, so recovery tries again.
            text = f"the original could not be removed from staging{text}"
        return SecureResult(SecureOutcome.SECURED, "secured", text, step.quarantine_id)

    def _undo(
        self, request: SecureRequest, staging: StagingFolder, step: Step, result: SecureResult
    ) -> SecureResult:
        """Give back what was moved, if anything was, and close the step.

        Where that can't be done the object stays in staging and the step stays open: recovery tries again.
        """
        token = step.id.encode()
        try:
            if identity_at(staging.fd, token) is not None:
                put_back(staging, token, request.directory_fd, request.name)
        except OSError as e:
            kept = f"it could not be put back ({_text(e)}) and is kept in staging as {step.id}"
            return SecureResult(result.outcome, result.kind, f"{result.text}; {kept}".lstrip("; "))
        self._journal.finish(step.id, StepState.UNDONE, result.kind)
        return result


def _kind(error: OSError) -> str:
    return _KINDS.get(error.errno or 0, "io")


def _text(error: OSError) -> str:
    return error.strerror or str(error)
