"""An object store that checks signatures by its own reckoning (AWS Signature Version 4).

After "Authenticating Requests (AWS Signature Version 4)", Amazon S3 API reference. `signature` is checked
against the example that is published there.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, unquote

from aiohttp import web

_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/s3/aws4_request, ?"
    r"SignedHeaders=([a-z0-9;-]+), ?Signature=([0-9a-f]{64})"
)


def signature(
    secret: str, region: str, method: str, path: str, query: str, headers: Mapping[str, str], signed: str
) -> str:
    """In hexadecimal.

    Args:
        path, query: as they were sent.
        headers: by name in lower case.
        signed: names of the signed headers, sorted, with ; between them.
    """
    lines = "".join(f"{name}:{' '.join(headers[name].split())}\n" for name in signed.split(";"))
    canonical = "\n".join((method, path, query, lines, signed, headers["x-amz-content-sha256"]))
    day = headers["x-amz-date"][:8]
    scope = f"{day}/{region}/s3/aws4_request"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    key = f"AWS4{secret}".encode()
    for part in (day, region, "s3", "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    text = "\n".join(("AWS4-HMAC-SHA256", headers["x-amz-date"], scope, digest))
    return hmac.new(key, text.encode(), "sha256").hexdigest()


@dataclass
class ObjectStore:
    """Objects by bucket/key; `answer` is its handler.

    Attributes:
        keys: secret keys by access key id; an empty one lets everybody in.
        token: the session token that has to be signed along, "" for none.
    """

    region: str = "us-east-1"
    keys: dict[str, str] = field(default_factory=dict)
    token: str = ""
    objects: dict[str, bytes] = field(default_factory=dict)
    asked: list[web.Request] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request)
        if self.keys and not self._may(request):
            return web.Response(status=403, text="<Error><Code>SignatureDoesNotMatch</Code></Error>")
        raw = request.raw_path.partition("?")[0]
        assert raw == quote(unquote(raw), safe="/-_.~"), "a path is sent as it is signed"
        body = self.objects.get(unquote(raw).lstrip("/"))
        if body is None:
            return web.Response(status=404)
        etag = f'"{hashlib.md5(body).hexdigest()}"'
        if request.headers.get("If-None-Match") == etag:
            return web.Response(status=304, headers={"ETag": etag})
        if "Range" in request.headers and request.headers.get("If-Range", etag) == etag:
            begin = int(request.headers["Range"].removeprefix("bytes=").rstrip("-"))
            span = f"bytes {begin}-{len(body) - 1}/{len(body)}"
            return web.Response(status=206, body=body[begin:], headers={"ETag": etag, "Content-Range": span})
        return web.Response(body=body, headers={"ETag": etag, "Accept-Ranges": "bytes"})

    def _may(self, request: web.Request) -> bool:
        said = _AUTHORIZATION.fullmatch(request.headers.get("Authorization", ""))
        if said is None or said[3] != self.region or said[1] not in self.keys:
            return False
        headers = {name.lower(): value for name, value in request.headers.items()}
        signed = said[4].split(";")
        if not {"host", "x-amz-date", "x-amz-content-sha256"} <= set(signed) or signed != sorted(signed):
            return False
        if self.token and (
            headers.get("x-amz-security-token") != self.token or "x-amz-security-token" not in signed
        ):
            return False
        path, _, query = request.raw_path.partition("?")
        right = signature(self.keys[said[1]], self.region, request.method, path, query, headers, said[4])
        return hmac.compare_digest(right, said[5])
