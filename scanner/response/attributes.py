"""What a file has besides its bytes: read before it is moved, set again when it is restored."""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass

from scanner.model.names import display
from scanner.system.inodeflags import flag_words, forbidding_flags, set_forbidding_flags

_ACL = "system.posix_acl_access"
_NAMESPACES = ("user.", "security.", "trusted.")
# Bytes of names and values kept for one file. ext4 holds 4 KiB; elsewhere a customer can attach hundreds of
# megabytes of attributes to one file, which must not fill the vault's manifests or our memory.
MAX_XATTR_BYTES = 1 << 20

# The file system, or our rights, don't take this attribute: said, but no reason not to give the file back.
# ENOSPC and E2BIG too: for attributes they mean "more than this file system stores of them".
_REFUSED = frozenset(
    {errno.ENOTSUP, errno.EPERM, errno.EACCES, errno.EINVAL, errno.ENOSPC, errno.E2BIG, errno.ERANGE}
)


@dataclass(frozen=True, slots=True)
class Attributes:
    """Metadata of a regular file.

    Attributes:
        uid, gid: by number, since names can be given to somebody else.
        mode: permission bits, with set-user-id, set-group-id and sticky.
        atime_ns, mtime_ns: nanoseconds since 1970.
        ctime_ns: for the record; it can't be set.
        links: names the inode had; more than one means that others were left in place.
        xattrs: name and value of each extended attribute that could be read, ACL included.
        xattrs_omitted: how many could not be kept.
        flags: which of `system.inodeflags` IMMUTABLE and APPEND_ONLY it had.
    """

    uid: int
    gid: int
    mode: int
    atime_ns: int
    mtime_ns: int
    ctime_ns: int
    links: int
    xattrs: tuple[tuple[bytes, bytes], ...] = ()
    xattrs_omitted: int = 0
    flags: int = 0


def read_attributes(fd: int, atime_ns: int = 0) -> Attributes:
    """Attributes of an open file.

    Args:
        atime_ns: when it was last read before we did, if that is known; 0 for what it says now.

    Raises:
        OSError: fstat failed.
    """
    st = os.fstat(fd)
    xattrs, omitted = _read_xattrs(fd)
    return Attributes(
        uid=st.st_uid,
        gid=st.st_gid,
        mode=stat.S_IMODE(st.st_mode),
        atime_ns=atime_ns or st.st_atime_ns,
        mtime_ns=st.st_mtime_ns,
        ctime_ns=st.st_ctime_ns,
        links=st.st_nlink,
        xattrs=xattrs,
        xattrs_omitted=omitted,
        flags=forbidding_flags(fd),
    )


def _read_xattrs(fd: int) -> tuple[tuple[tuple[bytes, bytes], ...], int]:
    try:
        listed = [n for n in os.listxattr(fd) if n.startswith(_NAMESPACES)]
    except OSError:
        listed = []
    found: list[tuple[bytes, bytes]] = []
    omitted, room = 0, MAX_XATTR_BYTES
    # The ACL first: it decides who may read the restored file. It isn't listed everywhere, so ask by name.
    for name in (_ACL, *sorted(listed)):
        try:
            value = os.getxattr(fd, name)
        except OSError as e:
            omitted += e.errno != errno.ENODATA and name != _ACL
            continue
        room -= len(name) + len(value)
        if room < 0:
            omitted += 1
            continue
        found.append((os.fsencode(name), value))
    return tuple(found), omitted


def apply_attributes(fd: int, attributes: Attributes) -> tuple[str, ...]:
    """Set what can be set on an open file of ours.

    The order matters: a change of owner clears set-user-id and security.capability, an ACL changes the
    group bits that the mode then sets right, and the times come last because all else may touch them.

    Returns:
        what the kernel did not let us set, as words.

    Raises:
        OSError: no room, an I/O error.
    """
    missing = []
    mode = attributes.mode
    try:
        os.fchown(fd, attributes.uid, attributes.gid)
    except PermissionError:
        missing.append("owner")
        mode &= 0o777  # set-user-id for another user than before would hand over rights of ours
    for name, value in attributes.xattrs:
        try:
            os.setxattr(fd, name, value)
        except OSError as e:
            if e.errno not in _REFUSED:
                raise
            missing.append(display(name))
    os.fchmod(fd, mode)
    os.utime(fd, ns=(attributes.atime_ns, attributes.mtime_ns))
    return tuple(missing)


def apply_flags(fd: int, flags: int) -> tuple[str, ...]:
    """Set IMMUTABLE and APPEND_ONLY, after all else: they forbid renaming too.

    Returns:
        what the kernel did not let us set, as words.
    """
    if not flags:
        return ()
    try:
        set_forbidding_flags(fd, flags)
        os.fsync(fd)
    except OSError:
        return (flag_words(flags),)
    return ()
