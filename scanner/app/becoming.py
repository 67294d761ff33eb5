"""Who a root shell becomes before it writes into a directory that another user owns.

Root must not write where that user can put links in its way. Of root's rights CAP_DAC_READ_SEARCH stays,
which reads every file and writes none: scanning needs it, the daemon has it too, and hostsweep itself may be
installed where only root can read it. Processes that are started to hash, fetch or read lists give it up.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Collection
from pathlib import Path

from scanner.model.errors import ConfigError, StorageError
from scanner.system import power


def become_owner_of(state: Path, user: int) -> None:
    """Become, for good, the user whom a state directory belongs to; nothing where that is root.

    Args:
        user: uid to become where there is no such directory yet.

    Raises:
        OSError: a step was refused; the process must not go on.
    """
    try:
        st = state.lstat()
        uid, gid = st.st_uid, st.st_gid
    except FileNotFoundError:
        uid, gid = user, user
    if uid == 0:
        return
    account = _account(uid)
    _become(uid, account.pw_gid if account else gid)


def become_feeds_owner(directory: Path) -> None:
    """Become, for good, the user to whom the feeds' directory belongs, with that user's groups: they may read
    what it needs. Needs root.

    Raises:
        ConfigError: it is not there yet, or belongs to root.
        StorageError: it can't be looked at.
        OSError: a step was refused; the process must not go on.
    """
    remedy = "Start the service that syncs once (systemctl start hostsweep-feeds), or give it to its user"
    try:
        st = directory.stat()
    except FileNotFoundError:
        raise ConfigError(
            "the feeds' directory is not there yet", where=str(directory), remedy=remedy
        ) from None
    except OSError as e:
        raise StorageError(f"it can't be looked at ({e.strerror})", where=str(directory)) from e
    if st.st_uid == 0:
        raise ConfigError("the feeds' directory belongs to root", where=str(directory), remedy=remedy)
    account = _account(st.st_uid)
    groups = os.getgrouplist(account.pw_name, st.st_gid) if account else [st.st_gid]
    _become(st.st_uid, st.st_gid, groups)


def _account(uid: int) -> pwd.struct_passwd | None:
    """None: a user by number alone, who has no other groups."""
    try:
        return pwd.getpwuid(uid)
    except KeyError:
        return None


def _become(uid: int, gid: int, groups: Collection[int] = ()) -> None:
    power.become(uid, gid, keep=(power.CAP_DAC_READ_SEARCH,), groups=groups)
    power.no_new_privs()
    # The securer takes our connection for root's: nobody else of this user may get at it.
    power.not_dumpable()
    os.umask(0o077)
