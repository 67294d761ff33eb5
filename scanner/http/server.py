"""The HTTP surface. `docs/http.md` has its endpoints and limits.

Public endpoints tell nothing of a customer or a list; the private ones need a token and don't exist
without one. None takes a hash: nobody can ask here whether something is listed.
"""

from __future__ import annotations

import errno
import inspect
import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from prometheus_client import CONTENT_TYPE_LATEST

from scanner.http.guard import Guard
from scanner.http.limits import Limits, Nobody, Watcher
from scanner.http.problems import SERVER, problem, problems
from scanner.http.readiness import Readiness
from scanner.http.shared import Shared
from scanner.http.sites import Site, UnixSite
from scanner.model.errors import ConfigError

T = TypeVar("T")

_SHUTDOWN_SECONDS = 2.0  # for answers that are under way; each takes milliseconds
LIMITS: web.AppKey[Limits] = web.AppKey("limits", Limits)
WATCHER: web.AppKey[Any] = web.AppKey("watcher", object)

log = structlog.get_logger("hostsweep.http")


class Address(Protocol):
    """Where to listen; as text it is what people write, e.g. ``[::1]:9797`` or ``unix:/run/x/http.sock``."""

    @property
    def host(self) -> str: ...

    @property
    def port(self) -> int: ...

    @property
    def path(self) -> str: ...


class Wakes(Protocol):
    """What can be asked of the daemon. Both return at once; False says that there is no such thing."""

    def scan(self, volume: str) -> bool: ...

    def sync(self, feed: str) -> bool: ...


@dataclass(frozen=True, slots=True)
class Private:
    """The endpoints that need a token.

    Attributes:
        token: not empty.
        status: JSON-able; may hold paths.
        wakes: starts scans and syncs.
    """

    token: str
    status: Callable[[], Awaitable[Mapping[str, Any]]]
    wakes: Wakes


def build_application(
    *,
    metrics: Callable[[], bytes | Awaitable[bytes]],
    readiness: Callable[[], Readiness | Awaitable[Readiness]],
    health: Callable[[], bool | Awaitable[bool]] = lambda: True,
    private: Private | None = None,
    limits: Limits | None = None,
    watcher: Watcher | None = None,
) -> web.Application:
    """Build the surface: /metrics, /healthz, /readyz, and /v1/ for those who have the token.

    Args:
        metrics: Prometheus' text format.
        readiness: what /readyz tells: 200 when ready, else 503 and what is not.
        health: whether the process is alive and makes sense of itself; 503 if not. By default, that it
            answers at all.
        private: None leaves /v1/ out.
        watcher: counts requests and refusals.
    """
    limits, watcher = limits or Limits(), watcher or Nobody()
    guard = Guard(limits, watcher, private.token if private else "")
    app = web.Application(
        middlewares=[_counted(watcher), problems, guard.check, guard.in_time],
        client_max_size=limits.body_bytes,
    )
    app[LIMITS], app[WATCHER] = limits, watcher
    ready = Shared("readyz", lambda: _value(readiness()), limits.fresh_seconds)
    app.on_cleanup.append(lambda _: ready.close())

    async def get_metrics(_: web.Request) -> web.Response:
        body = await _value(metrics())
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def get_health(_: web.Request) -> web.Response:
        return web.json_response({"alive": True}) if await _value(health()) else problem(503)

    async def get_readiness(_: web.Request) -> web.Response:
        answer = await ready.get()
        return web.json_response(answer.as_dict(), status=200 if answer.ready else 503)

    app.router.add_get("/metrics", get_metrics, name="metrics")
    app.router.add_get("/healthz", get_health, name="healthz")
    app.router.add_get("/readyz", get_readiness, name="readyz")
    if private is not None:
        _add_private(app, guard, private, limits)
    app.on_response_prepare.append(_common_headers)
    return app


def _add_private(app: web.Application, guard: Guard, private: Private, limits: Limits) -> None:
    status = Shared("status", private.status, limits.fresh_seconds)
    app.on_cleanup.append(lambda _: status.close())

    async def get_status(_: web.Request) -> web.Response:
        return web.json_response(await status.get())

    def woken(key: str, wake: Callable[[str], bool]) -> Handler:
        async def post(request: web.Request) -> web.Response:
            name = request.match_info["name"]
            if not wake(name):
                return problem(404)
            log.info("asked_by_http", **{key: name})  # a configured name, since there is one
            return web.json_response({key: name, "state": "accepted"}, status=202)

        return post

    router = app.router
    router.add_get("/v1/status", guard.private(get_status), name="status", allow_head=False)
    scan, sync = woken("volume", private.wakes.scan), woken("feed", private.wakes.sync)
    router.add_post("/v1/volumes/{name}/scan", guard.private(scan), name="scan")
    router.add_post("/v1/feeds/{name}/sync", guard.private(sync), name="sync")


def _counted(watcher: Watcher) -> Middleware:
    @web.middleware
    async def counted(request: web.Request, handler: Handler) -> web.StreamResponse:
        response = await handler(request)
        resource = request.match_info.route.resource
        watcher.http_request((resource.name if resource else None) or "other", response.status)
        return response

    return counted


async def _value(answer: T | Awaitable[T]) -> T:
    return await answer if inspect.isawaitable(answer) else answer


async def _common_headers(_: web.Request, response: web.StreamResponse) -> None:
    response.headers["Server"] = SERVER
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Content-Type-Options"] = "nosniff"


async def start(app: web.Application, listen: Address) -> web.AppRunner:
    """Begin to serve; `cleanup` of the result ends it. Its `addresses` tell the port if 0 was asked for.

    Raises:
        ConfigError: the address is taken, not ours, or may not be used.
    """
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_SECONDS)
    await runner.setup()
    limits, watcher = app[LIMITS], app[WATCHER]
    try:
        if listen.path:
            await UnixSite(runner, listen.path, limits, watcher).start()
        else:
            await Site(runner, listen.host, listen.port, limits, watcher).start()
    except OSError as e:
        await runner.cleanup()
        raise _cannot_listen(listen, e) from e
    return runner


def _cannot_listen(listen: Address, error: OSError) -> ConfigError:
    what, remedy = f"can't listen there ({error.strerror})", "Set http.listen to an address of this machine"
    if listen.path:
        remedy = "Set http.listen to a socket in a directory that only root or hostsweep's user may write"
    elif error.errno == errno.EADDRINUSE:
        what = "the port is taken: another program listens there"
        remedy = f"Stop it (`ss -ltnp 'sport = :{listen.port}'` names it) or set http.listen to a free port"
    elif error.errno == errno.EACCES:
        what = "listening there needs a right this process doesn't have"
        remedy = "Set http.listen to a port above 1023"
    elif isinstance(error, socket.gaierror):
        what = "there is no such host"
    return ConfigError(what, where=str(listen), remedy=remedy)
