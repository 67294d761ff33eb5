"""Lists in an object store that speaks Amazon's S3: where an object is, and how a request for it is signed.

The signature is botocore's work, Amazon's own and maintained library (the extra `hostsweep[s3]`); the
request is ours, so that the limits, redirects and TLS of every other list hold here as well.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, unquote

from yarl import URL

from scanner.feeds.credentials import secret_line
from scanner.feeds.fetching import ObjectStore
from scanner.model.errors import ConfigError, FeedTransportError

Signer = Callable[[str, URL], dict[str, str]]
"""The headers for a method and an address."""

# "Bucket naming rules", Amazon S3 user guide; other stores take no more than these.
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_REGION = re.compile(r"[a-z0-9-]{1,63}")
_UNRESERVED = "/-_.~"  # what the signature leaves as it is in a path


def locate(text: str, store: ObjectStore) -> str:
    """The https:// (or http://) address of `s3://bucket/key`; any other address as it is.

    Raises:
        FeedTransportError: it names no object.
    """
    if not text.startswith("s3://"):
        return text
    bucket, _, key = text.removeprefix("s3://").partition("/")
    if not _BUCKET.fullmatch(bucket) or not key or "?" in text or "#" in text:
        raise FeedTransportError("the address names no object", remedy="Expected s3://BUCKET/KEY")
    if not _REGION.fullmatch(store.region):
        raise FeedTransportError("the region can't be right", remedy="Correct the feed's s3.region")
    path = quote(unquote(key), safe=_UNRESERVED)
    if store.endpoint:
        return f"{store.endpoint.rstrip('/')}/{bucket}/{path}"
    service = f"s3.{store.region}.amazonaws.com"
    # No certificate is for two labels before the service's name.
    return f"https://{service}/{bucket}/{path}" if "." in bucket else f"https://{bucket}.{service}/{path}"


def signer(store: ObjectStore) -> Signer | None:
    """What signs requests with the store's credentials, None where it has none; blocking.

    Raises:
        ConfigError: a secret can't be used, or the library is missing.
    """
    if store.access_key_file is None or store.secret_key_file is None:
        return None
    try:
        from botocore.auth import S3SigV4Auth
        from botocore.awsrequest import AWSRequest
        from botocore.credentials import Credentials
    except ImportError as e:
        raise ConfigError(
            "signing requests to an object store needs botocore",
            where="s3://",
            remedy="Install hostsweep[s3]",
        ) from e
    token = store.session_token_file
    credentials = Credentials(
        secret_line(store.access_key_file),
        secret_line(store.secret_key_file),
        None if token is None else secret_line(token),
    )
    auth: Any = S3SigV4Auth(credentials, "s3", store.region)

    def sign(method: str, url: URL) -> dict[str, str]:
        request: Any = AWSRequest(method, str(url))
        auth.add_auth(request)
        return {name: str(value) for name, value in request.headers.items()}

    return sign
