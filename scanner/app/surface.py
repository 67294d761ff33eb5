"""The HTTP surface of a service: what it shows, and to whom."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from scanner import config as configuration
from scanner.app.service import Service
from scanner.config import Config
from scanner.model.times import with_times

if TYPE_CHECKING:
    from aiohttp import web

    from scanner.http import Readiness, Wakes


def http_token(config: Config) -> str:
    """The token of the HTTP surface; "" if there is none.

    Raises:
        ConfigError: the file can't be read or is not kept as a secret.
    """
    path = config.http.token_file
    return configuration.read_token(path).value if path is not None else ""


class Surface:
    """Shows one service.

    Args:
        token: see `http_token`. It is read once and kept: a file that goes bad later must not end a daemon
            that goes on with its old configuration.
    """

    def __init__(self, service: Service, token: str) -> None:
        self.service = service
        self._token = token

    def application(self, wakes: Wakes) -> web.Application:
        """What answers; `wakes` starts scans and syncs for those who have the token."""
        # Imported here, as below: aiohttp takes longer to load than a small scan takes to run.
        from scanner.http import Private, build_application

        metrics = self.service.app.metrics
        return build_application(
            metrics=metrics.render,
            readiness=self.readiness,
            private=Private(self._token, self._status, wakes) if self._token else None,
            watcher=metrics,
        )

    async def readiness(self) -> Readiness:
        """Looks at the vault and syncs its directory, so it has no place on the event loop."""
        from scanner.app.health import readiness

        app = self.service.app
        return await asyncio.to_thread(
            readiness, app.config, app.keeper, app.vault, self.service.lists, app.clock
        )

    async def _status(self) -> dict[str, Any]:
        from scanner.app.status import status

        service = self.service
        index_id = service.index_id or None
        return dict(with_times(await asyncio.to_thread(status, service.app, index_id)))
