"""The HTTP surface: metrics, health and readiness. Read only; nothing of a customer or a list in it."""

from __future__ import annotations

import errno
import inspect
import socket
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from scanner.http.connections import Limits, Site
from scanner.http.problems import SERVER, problem, problems
from scanner.http.readiness import Readiness
from scanner.model.errors import ConfigError

T = TypeVar("T")

_LARGEST_BODY = 1024  # bytes; nothing here reads a body
_SHUTDOWN_SECONDS = 2.0  # for answers that are under way; each takes milliseconds


class Address(Protocol):
    """Where to listen; as text it is what people write, e.g. ``[::1]:9797``."""

    @property
    def host(self) -> str: ...

    @property
    def port(self) -> int: ...


def build_application(
    *,
    metrics: Callable[[], bytes | Awaitable[bytes]],
    readiness: Callable[[], Readiness | Awaitable[Readiness]],
    health: Callable[[], bool | Awaitable[bool]] = lambda: True,
) -> web.Application:
    """Build the surface: GET and HEAD of /metrics, /healthz and /readyz; all else is 404 or 405.

    Args:
        metrics: Prometheus' text format.
        readiness: what /readyz tells: 200 when ready, else 503 and what is not.
        health: whether the process is alive and makes sense of itself; 503 if not. By default, that it
            answers at all.
    """

    async def get_metrics(_: web.Request) -> web.Response:
        body = await _value(metrics())
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def get_health(_: web.Request) -> web.Response:
        return web.json_response({"alive": True}) if await _value(health()) else problem(503)

    async def get_readiness(_: web.Request) -> web.Response:
        answer = await _value(readiness())
        return web.json_response(answer.as_dict(), status=200 if answer.ready else 503)

    app = web.Application(middlewares=[problems], client_max_size=_LARGEST_BODY)
    app.router.add_get("/metrics", get_metrics)
    app.router.add_get("/healthz", get_health)
    app.router.add_get("/readyz", get_readiness)
    app.on_response_prepare.append(_common_headers)
    return app


async def _value(answer: T | Awaitable[T]) -> T:
    return await answer if inspect.isawaitable(answer) else answer


async def _common_headers(_: web.Request, response: web.StreamResponse) -> None:
    response.headers["Server"] = SERVER
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Content-Type-Options"] = "nosniff"


async def start(app: web.Application, listen: Address, limits: Limits | None = None) -> web.AppRunner:
    """Begin to serve; `cleanup` of the result ends it. Its `addresses` tell the port if 0 was asked for.

    Raises:
        ConfigError: the address is taken, not ours, or may not be used.
    """
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_SECONDS)
    await runner.setup()
    try:
        await Site(runner, listen.host, listen.port, limits or Limits()).start()
    except OSError as e:
        await runner.cleanup()
        raise _cannot_listen(listen, e) from e
    return runner


def _cannot_listen(listen: Address, error: OSError) -> ConfigError:
    what, remedy = f"can't listen there ({error.strerror})", "Set http.listen to an address of this machine"
    if error.errno == errno.EADDRINUSE:
        what = "the port is taken: another program listens there"
        remedy = f"Stop it (`ss -ltnp 'sport = :{listen.port}'` names it) or set http.listen to a free port"
    elif error.errno == errno.EACCES:
        what = "listening there needs a right this process doesn't have"
        remedy = "Set http.listen to a port above 1023"
    elif isinstance(error, socket.gaierror):
        what = "there is no such host"
    return ConfigError(what, where=str(listen), remedy=remedy)
