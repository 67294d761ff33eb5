"""A publisher's repository of The Update Framework, in memory: made with python-tuf's own API."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from scanner.feeds.exchanges import Reply
from scanner.model.errors import FeedRefusedError

HOUR = timedelta(hours=1)


class Repository:
    """What is behind `files`, by the path of its address: metadata/…, targets/….

    Attributes:
        root: version 1 of the root metadata, as it is handed over to a provider.
    """

    def __init__(self, *, consistent: bool = True) -> None:
        from securesystemslib.signer import CryptoSigner
        from tuf.api.metadata import Metadata, Root, Snapshot, Targets, Timestamp

        self.files: dict[str, bytes] = {}
        self.expires = datetime.now(UTC).replace(microsecond=0) + 24 * HOUR
        self.signers: dict[str, Any] = {role: CryptoSigner.generate_ed25519() for role in _ROLES}
        self.parts: dict[str, Any] = {
            "root": Metadata(Root(expires=self.expires, consistent_snapshot=consistent)),
            "timestamp": Metadata(Timestamp(expires=self.expires)),
            "snapshot": Metadata(Snapshot(expires=self.expires)),
            "targets": Metadata(Targets(expires=self.expires)),
        }
        for role in _ROLES:
            self.parts["root"].signed.add_key(self.signers[role].public_key, role)
        self.publish_root()
        self.root = self.files["metadata/1.root.json"]

    def publish_root(self) -> None:
        part = self.parts["root"]
        self.files[f"metadata/{part.signed.version}.root.json"] = self._signed("root")

    def rotate(self, role: str) -> Any:
        """Replace a key, by a new root that the old root key signs; returns the old signer."""
        from securesystemslib.signer import CryptoSigner

        root, old = self.parts["root"].signed, self.signers[role]
        self.signers[role] = CryptoSigner.generate_ed25519()
        root.revoke_key(old.public_key.keyid, role)
        root.add_key(self.signers[role].public_key, role)
        root.version += 1
        self.publish_root()
        return old

    def publish(self, data: bytes, target: str = "lists/police.txt") -> None:
        """Put a list, and new metadata for it, in place of the old ones."""
        from tuf.api.metadata import MetaFile, TargetFile

        file = TargetFile.from_data(target, data, ["sha256"])
        self.parts["targets"].signed.targets[target] = file
        targets = self._next("targets")
        folder, _, name = target.rpartition("/")
        prefix = f"{file.hashes['sha256']}." if self.parts["root"].signed.consistent_snapshot else ""
        self.files[f"targets/{folder}/{prefix}{name}"] = data
        versions = {role: self.parts[role].signed.version for role in ("targets", "snapshot")}
        self.parts["snapshot"].signed.meta["targets.json"] = MetaFile.from_data(
            versions["targets"], targets, ["sha256"]
        )
        snapshot = self._next("snapshot")
        self.parts["timestamp"].signed.snapshot_meta = MetaFile.from_data(
            self.parts["snapshot"].signed.version, snapshot, ["sha256"]
        )
        self._next("timestamp")

    def _next(self, role: str) -> bytes:
        part = self.parts[role].signed
        if f"metadata/{role}.json" in self.files or f"metadata/{part.version}.{role}.json" in self.files:
            part.version += 1
        part.expires = self.expires
        consistent = self.parts["root"].signed.consistent_snapshot and role != "timestamp"
        name = f"{part.version}.{role}.json" if consistent else f"{role}.json"
        self.files[f"metadata/{name}"] = self._signed(role)
        return self.files[f"metadata/{name}"]

    def _signed(self, role: str) -> bytes:
        from tuf.api.serialization.json import JSONSerializer

        part = self.parts[role]
        part.signatures.clear()
        part.sign(self.signers[role])
        return bytes(part.to_bytes(JSONSerializer(compact=True)))


_ROLES = ("root", "timestamp", "snapshot", "targets")


@dataclass
class RepositoryClient:
    """A client that finds everything in a repository, by ranges too; `asked` has what was asked."""

    files: Mapping[str, bytes]
    ranges: bool = True
    asked: list[str] = field(default_factory=list)

    async def get(
        self,
        url: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        limit: int = 1 << 26,
        accept: frozenset[int] = frozenset(),
    ) -> Reply:
        path = urlsplit(url).path.lstrip("/")
        self.asked.append(path)
        body = self.files.get(path)
        if body is None:
            assert 404 in accept, path
            return Reply(404, {}, b"", url)
        wanted = (headers or {}).get("Range", "")
        if wanted and self.ranges:
            start, _, end = wanted.removeprefix("bytes=").partition("-")
            body = body[int(start) : int(end) + 1]
        if len(body) > limit:
            raise FeedRefusedError(f"an answer of the server has more than {limit} bytes")
        return Reply(206 if wanted and self.ranges else 200, {}, body, url)

    async def post(self, *_: Any, **__: Any) -> Reply:
        raise AssertionError("nothing is sent")
