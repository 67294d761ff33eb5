"""Which vault an app has: its own, or another process's. And who a root shell becomes for the latter."""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable, Sequence
from pathlib import Path

from scanner.app.state import StateDirectory
from scanner.config import Config
from scanner.model.ports import Clock, Ids
from scanner.pipeline.volume import Volume
from scanner.response import SecuringPolicy, VaultLimits
from scanner.securer import Keeper, OwnVault, RemoteVault
from scanner.system import power
from scanner.system.locking import Owners


def vault_for(
    config: Config,
    state: StateDirectory,
    volumes: Sequence[Volume],
    clock: Clock,
    ids: Ids,
    owners: Callable[[], Owners],
) -> Keeper:
    """The vault as configured; nothing is opened or reached yet."""
    quarantine = config.quarantine
    if quarantine.securer is not None:
        return RemoteVault(quarantine.securer, {v.name: v.root for v in volumes}, clock)
    limits = VaultLimits(quarantine.reserve, quarantine.max_size)
    policy = SecuringPolicy(clear_immutable=quarantine.clear_immutable)
    return OwnVault(state.quarantine, limits, clock, ids, owners, policy)


def become_owner_of(state: Path, user: int) -> None:
    """Become, for good, the user whom a state directory belongs to; nothing where that is root.

    CAP_DAC_READ_SEARCH stays, which reads every file and writes none: scanning needs it, and hostsweep itself
    may be installed where only root can read it. The daemon, whose the state is, has it too.

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
    try:
        gid = pwd.getpwuid(uid).pw_gid
    except KeyError:
        pass  # a user by number alone
    power.become(uid, gid, keep=(power.CAP_DAC_READ_SEARCH,))
    power.no_new_privs()
    # The securer takes our connection for root's: nobody else of this user may get at it.
    power.not_dumpable()
    os.umask(0o077)
