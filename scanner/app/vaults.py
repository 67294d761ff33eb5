"""Which vault an app has: its own, or another process's."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from scanner.app.state import StateDirectory
from scanner.config import Config
from scanner.model.ports import Clock, Ids
from scanner.pipeline.volume import Volume
from scanner.response import SecuringPolicy, VaultLimits
from scanner.securer import Keeper, OwnVault
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
        from scanner.securer import RemoteVault  # loaded where there is one

        return RemoteVault(quarantine.securer, {v.name: v.root for v in volumes}, clock)
    limits = VaultLimits(quarantine.reserve, quarantine.max_size)
    policy = SecuringPolicy(clear_immutable=quarantine.clear_immutable)
    return OwnVault(state.quarantine, limits, clock, ids, owners, policy)
