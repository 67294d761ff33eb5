"""Errors as RFC 9457 problem details. They echo nothing of the request: not its path, not its headers."""

from __future__ import annotations

from http import HTTPStatus

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

SERVER = "hostsweep"  # without a version: it tells strangers which hole to try

log = structlog.get_logger("hostsweep.http")


def problem(status: int, headers: dict[str, str] | None = None) -> web.Response:
    """The answer for an error status: its standard title and nothing more."""
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status}
    return web.json_response(body, status=status, content_type="application/problem+json", headers=headers)


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn every error into a problem; ours are logged, a client's are the client's business."""
    try:
        return await handler(request)
    except web.HTTPException as e:
        return problem(e.status, {"Allow": e.headers["Allow"]} if "Allow" in e.headers else None)
    except Exception as e:  # the boundary of a request: the next one must be answered
        # A request for anything that is not ours never reaches a handler that could fail.
        resource = request.match_info.route.resource
        endpoint = resource.canonical if resource else "other"
        log.error("http_request_failed", endpoint=endpoint, error=str(e), exc_info=e)
        return problem(500)
