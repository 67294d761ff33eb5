"""Securing: the inode that was hashed, and no other, goes from its place into the vault.

The customer can rename, replace and link in his directory at any moment, and may do so on purpose. So nothing
is checked and then done by name: the name is moved out of his reach first, and looked at there.

 1. The intent is on record (`journal.begin`): place, inode and mark, digests, the staging folder and the name
    in it.
 2. An immutable flag is taken off the hashed descriptor, if the operator wants that.
 3. The name is moved into the staging folder, over nothing (`rename_noreplace`). Where a project quota's
    boundary forbids that, the step is closed and begun again with a staging folder that is nearer.
 4. What was moved is looked at: the same device, inode and mark (see `system.identity`) as the hashed
    descriptor, else it is put back -> "raced". The descriptor is open all the while, so its inode number
    can't be given to another file.
 5. Its pages and both directories are synced.
 6. A fresh copy goes into the vault and is hashed as it is written. An old descriptor of the customer's still
    writes to the moved inode, so the inode itself is no evidence. Other digests than before: it is put back
    -> "changed".
 7. The manifest is written and synced: from here on the file is in the vault.
 8. The original is looked at again: if its size or times moved since 5, it is hashed again. Other bytes: it
    is put back, and then the vault's copy is discarded -> "changed".
 9. The original is removed from staging.
10. The outcome is on record (`journal.finish`).

Whose duty the rest is:
- the caller opens the file and its directory beneath the volume's root without following links, hashes
  through that very descriptor, keeps both open until `secure` returns, and opened the case before;
- the caller decides whether a directory on another mount is part of the volume, by how it opens it;
- `recovery` finishes or undoes what a crash leaves between 1 and 10, from any point, any number of times;
- the caller looks for other names of the same inode (`SecureResult.links_left`): only the one name is moved;
- nothing here changes owner or mode in place, and nothing is removed by a path.
"""

from __future__ import annotations

import errno
import os
from contextlib import ExitStack
from dataclasses import dataclass, replace
from enum import StrEnum

from scanner.model.errors import SourceError, VaultError, VaultFullError
from scanner.model.files import FileStat
from scanner.model.hashes import EXACT_KINDS, Digests
from scanner.model.ports import Clock, Ids
from scanner.model.steps import Step, StepJournal, StepKind, StepState
from scanner.response.attributes import Attributes, apply_flags, read_attributes
from scanner.response.copying import ContentChangedError, fsync_directories
from scanner.response.evidence import NotDiscardedError, SecureDetails, keep_copy, remove_staged
from scanner.response.items import Item
from scanner.response.places import Place, identity_at, put_back
from scanner.response.staging import Holder, StagingFolder, holders
from scanner.response.vault import Vault
from scanner.response.watching import check_unchanged, look_at, settle
from scanner.system.identity import differ, mark_at, mark_of
from scanner.system.inodeflags import flag_words, forbidding_flags, open_for_writing, set_forbidding_flags
from scanner.system.renaming import rename_noreplace

# Short words for why a file could not be moved or copied; anything else is "io".
_KINDS = {
    errno.EXDEV: "other_filesystem",  # a bind mount, a btrfs subvolume, a project quota's boundary
    errno.EPERM: "not_permitted",  # a sticky directory for an ordinary user, or no right to clear a flag
    errno.EACCES: "permission",
    errno.EROFS: "read_only",
    errno.ENOSPC: "no_space",
    errno.EDQUOT: "no_space",
    errno.ESTALE: "stale",
}


# Said where a step stays open: of a file that could not be put back, with the name it has there; and of an
# original that is in the vault and could not be removed.
KEPT_IN_STAGING = "kept in staging as"
LEFT_IN_STAGING = "could not be removed from staging"


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
        atime_ns: when the file was last read before we read it; 0 for what it says when it is secured.
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


@dataclass(frozen=True, slots=True)
class SecuringPolicy:
    """What the operator allows.

    Attributes:
        clear_immutable: take the immutable and append-only flags off a file that is to be secured. They are
            on record, and set again wherever it is put back or restored. A directory's are never touched.
    """

    clear_immutable: bool = False


DEFAULT_POLICY = SecuringPolicy()


@dataclass(frozen=True, slots=True)
class _Job:
    """A request with the staging folder that is tried for it; `holder` is the path of what holds that."""

    request: SecureRequest
    staging: StagingFolder
    holder: bytes
    attributes: Attributes


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
        links_left: names that the secured inode still has, wherever they are.
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
        policy: what the operator allows.
    """

    def __init__(
        self,
        vault: Vault,
        journal: StepJournal,
        clock: Clock,
        ids: Ids,
        owner: str,
        policy: SecuringPolicy = DEFAULT_POLICY,
    ) -> None:
        self._vault = vault
        self._journal = journal
        self._clock = clock
        self._ids = ids
        self._owner = owner
        self._policy = policy

    def secure(self, request: SecureRequest) -> SecureResult:
        """Secure one file; see the head of this module.

        Raises:
            LedgerError: the journal can't be written. The step stays open, and recovery ends it.
        """
        with ExitStack() as stack:
            try:
                attributes = read_attributes(request.fd, request.atime_ns)
                refused = self._refusal(request)
                if refused is not None:
                    return refused
                near = holders(stack, request.root_fd, request.directory, request.directory_fd)
            except OSError as e:
                return SecureResult.failed(_kind(e), _text(e))
            return self._near(request, attributes, near)

    def _near(self, request: SecureRequest, attributes: Attributes, near: list[Holder]) -> SecureResult:
        """Try one staging folder after the other until a rename reaches it."""
        result = SecureResult.failed("no_staging", "")
        for holder in near:
            try:
                staging = StagingFolder.open(holder.fd, _shown(request.root, holder.path))
            except VaultError as e:  # the volume's fault, not our storage's
                return SecureResult.failed("no_staging", str(e))
            with staging:
                result = self._secure(_Job(request, staging, holder.path, attributes))
            if result.kind != "other_filesystem":
                break
        return result

    def _secure(self, job: _Job) -> SecureResult:
        request = job.request
        step = self._step(job)
        self._journal.begin(step)
        details = SecureDetails.of_step(step)
        try:
            if details.flags:
                set_forbidding_flags(request.fd, 0)
            rename_noreplace(
                request.directory_fd,
                request.name,
                job.staging.fd,
                step.id.encode(),
                target_is_ours=True,
            )
        except OSError as e:
            return self._not_moved(job, step, e)
        return self._moved(job, step, details)

    def _refusal(self, request: SecureRequest) -> SecureResult | None:
        """What can be known beforehand: a file that can't be kept is not even moved."""
        st = os.fstat(request.fd)
        if (st.st_dev, st.st_ino) != (request.stat.device, request.stat.inode):
            return SecureResult(
                SecureOutcome.CHANGED, "changed", "another file was opened than the one hashed"
            )
        if not any(kind in EXACT_KINDS for kind in request.digests.exact):
            return SecureResult.failed("no_digest", "there is no exact digest to check the copy by")
        if words := _flags_in_the_way(request, file_too=not self._policy.clear_immutable):
            return SecureResult.failed("immutable", words)
        try:
            self._vault.check_room(request.digests.size)
        except VaultFullError as e:
            return SecureResult.failed("vault_full", str(e))
        except VaultError as e:
            return SecureResult.failed("io", str(e))
        return None

    def _step(self, job: _Job) -> Step:
        request = job.request
        exact = request.digests.exact
        details = SecureDetails(
            volume=request.volume,
            place=Place(request.root, request.directory, request.name),
            inode=request.stat.inode,
            size=request.digests.size,
            digests={kind: digest for kind, digest in exact.items() if kind in EXACT_KINDS},
            staging_inode=job.staging.identity()[1],
            mark=mark_of(request.fd),
            staging=job.holder,
            flags=job.attributes.flags,
            atime_ns=job.attributes.atime_ns,
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

    def _not_moved(self, job: _Job, step: Step, error: OSError) -> SecureResult:
        """The rename failed. Where it is done as link and unlink, it may have failed halfway."""
        result = SecureResult.failed(_kind(error), _text(error))
        if error.errno == errno.EPERM and (words := _flags_in_the_way(job.request)):
            result = SecureResult.failed("immutable", words)
        if isinstance(error, FileNotFoundError):
            result = SecureResult(SecureOutcome.VANISHED, "vanished")
        return self._undo(job, step, result)

    def _moved(self, job: _Job, step: Step, details: SecureDetails) -> SecureResult:
        fd, item = job.request.fd, None
        try:
            if not self._is_hashed(job, step, details):
                return self._undo(job, step, SecureResult(SecureOutcome.RACED, "raced"))
            settle(fd)
            before = look_at(fd)
            fsync_directories([job.staging.fd, job.request.directory_fd])
            parent_uid = os.fstat(job.request.directory_fd).st_uid
            item = keep_copy(self._vault, step, details, fd, job.attributes, parent_uid)
            check_unchanged(fd, before, details.digests, details.size)
        except ContentChangedError:
            text = "somebody has it open for writing" if open_for_writing(fd) else ""
            return self._undo(job, step, SecureResult(SecureOutcome.CHANGED, "changed", text), item)
        except NotDiscardedError as e:
            # Put back now, it might be in its place and in the vault: recovery decides by what is there then.
            return SecureResult.failed("io", f"{e}; it is {KEPT_IN_STAGING} {step.id}")
        except VaultFullError as e:
            return self._undo(job, step, SecureResult.failed("vault_full", str(e)))
        except (VaultError, SourceError) as e:
            return self._undo(job, step, SecureResult.failed("io", str(e)), item)
        except OSError as e:
            return self._undo(job, step, SecureResult.failed(_kind(e), _text(e)), item)
        return self._kept(job, step, details)

    @staticmethod
    def _is_hashed(job: _Job, step: Step, details: SecureDetails) -> bool:
        stat, token = job.request.stat, step.id.encode()
        return identity_at(job.staging.fd, token) == (stat.device, stat.inode) and not differ(
            details.mark, mark_at(job.staging.fd, token)
        )

    def _kept(self, job: _Job, step: Step, details: SecureDetails) -> SecureResult:
        fd = job.request.fd
        text = "somebody still has it open for writing" if open_for_writing(fd) else ""
        try:
            gone, why = remove_staged(job.staging, step.id.encode(), details), ""
        except OSError as e:
            gone, why = False, f" ({_text(e)})"
        if gone:
            self._journal.finish(step.id, StepState.DONE, "secured")
        else:
            # Out of everybody's reach and safe in the vault; the step stays open, so recovery tries again.
            text = f"the original {LEFT_IN_STAGING}{why}"
        left = os.fstat(fd).st_nlink - (not gone)
        return SecureResult(SecureOutcome.SECURED, "secured", text, step.quarantine_id, max(left, 0))

    def _undo(self, job: _Job, step: Step, result: SecureResult, item: Item | None = None) -> SecureResult:
        """Give back what was moved, if anything was, discard what was kept, and close the step.

        Where that can't be done the object stays in staging and the step stays open: recovery tries again.
        """
        token = step.id.encode()
        text = result.text
        try:
            if identity_at(job.staging.fd, token) is not None:
                put_back(job.staging, token, job.request.directory_fd, job.request.name)
        except OSError as e:
            kept = f"it could not be put back ({_text(e)}) and is {KEPT_IN_STAGING} {step.id}"
            return replace(result, text=f"{text}; {kept}".lstrip("; "))
        missing = apply_flags(job.request.fd, SecureDetails.of_step(step).flags)
        if missing:
            text = f"{text}; {missing[0]} could not be set again".lstrip("; ")
        try:
            if item is not None:
                self._vault.discard(item.id, item.sha256)
        except VaultError as e:
            return replace(result, text=f"{text}; the copy is still in the vault ({e})".lstrip("; "))
        self._journal.finish(step.id, StepState.UNDONE, result.kind)
        return replace(result, text=text)


def _flags_in_the_way(request: SecureRequest, *, file_too: bool = True) -> str:
    """Which flags forbid the move, in words; "" if none does."""
    own = forbidding_flags(request.fd) if file_too else 0
    if own:
        return f"the file is {flag_words(own)}"
    above = forbidding_flags(request.directory_fd)
    return f"the file's directory is {flag_words(above)}" if above else ""


def _shown(root: bytes, path: bytes) -> bytes:
    return root.rstrip(b"/") + b"/" + path if path else root


def _kind(error: OSError) -> str:
    return _KINDS.get(error.errno or 0, "io")


def _text(error: OSError) -> str:
    return error.strerror or str(error)
