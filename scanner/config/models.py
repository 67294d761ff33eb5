"""The configuration file, key by key: what each holds and what it is when it is left out.

Frozen; an unknown key is an error. Durations are seconds, sizes bytes, lists tuples. `docs/configuration.md`
says in words what every key does.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, PrivateAttr

from scanner.config.fields import (
    AUTO,
    AbsolutePath,
    AnyKind,
    Canary,
    Category,
    Column,
    Delimiter,
    Encoding,
    ExactKind,
    FormatName,
    Header,
    Host,
    ListenAddress,
    Meaning,
    Name,
    PerceptualKind,
    PerceptualKinds,
    Seconds,
    SecretFile,
    ServerUrl,
    Size,
    Text,
    Url,
    User,
    Views,
    ViewWord,
    Workers,
)
from scanner.config.units import Expected, Listen
from scanner.model.errors import ConfigError
from scanner.model.hashes import DEFAULT_EXACT, DEFAULT_VIEWS, DHASH, PDQ, PHASH, PHASH256

_HOUR, _DAY = 3_600.0, 86_400.0
_MIB, _GIB = 1 << 20, 1 << 30

Place = tuple[str | int, ...]
"""Where a value stands in the file: keys and list indices from the top."""

OnHit = Literal["quarantine", "report"]
ValueField = Literal["type", "category", "severity", "labels", "source"]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a configuration was read from: no part of its content, so it doesn't count in comparisons."""

    file: str = field(default="", compare=False)
    lines: Mapping[Place, int] = field(default_factory=dict, compare=False)

    def line(self, place: Place) -> int:
        """The line of a value, or of the nearest thing around it that is in the file; 0 if there is none."""
        while place not in self.lines:
            if not place:
                return 0
            place = place[:-1]
        return self.lines[place]


class _Part(BaseModel):
    # strict: no "yes" that becomes true, no "5" that becomes 5; hidden: no value of a secret in a message.
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)


class MailStores(_Part):
    """Private mail is left out unless the operator says on what ground it may be looked at."""

    scan: bool = False
    ground: str = ""


class VolumeConfig(_Part):
    """One tree of customers' files."""

    name: Name
    path: AbsolutePath
    exclude: tuple[Text, ...] = ()
    one_filesystem: bool = True
    snapshots: bool = False
    customer: Text | None = None
    shown_as: AbsolutePath | None = None
    mail_stores: MailStores = MailStores()
    every: Seconds | None = None
    stall_limit: Seconds = 300.0  # NFS's own retries of a server that restarts take one to three minutes


class BandConfig(_Part):
    """What a match by a perceptual hash does that is no further than this."""

    max_distance: int | None = Field(default=None, ge=0)  # as far as matching goes
    action: OnHit
    kind: PerceptualKind | None = None  # any
    min_quality: int = Field(default=0, ge=0, le=100)
    views: tuple[ViewWord, ...] | None = None  # any


def _as_bands(value: object) -> object:
    """One word stands for one band without limits."""
    if value in ("quarantine", "report"):
        return ({"action": value},)
    if isinstance(value, tuple) and value:
        return value
    raise Expected("expected quarantine, report or a list of bands")


def _shown_bands(bands: tuple[BandConfig, ...]) -> object:
    if len(bands) == 1 and bands[0] == BandConfig(action=bands[0].action):
        return bands[0].action
    return [band.model_dump(mode="json", exclude_defaults=True) for band in bands]


class OnMatch(_Part):
    """What a match does, by the sort of hash."""

    exact: OnHit = "quarantine"
    perceptual: Annotated[
        tuple[BandConfig, ...], BeforeValidator(_as_bands), PlainSerializer(_shown_bands)
    ] = (BandConfig(action="quarantine"),)


class S3(_Part):
    """The object store of an `s3://` address."""

    endpoint: ServerUrl | None = None  # Amazon's, of that region
    region: Text = "us-east-1"
    access_key_file: SecretFile | None = None
    secret_key_file: SecretFile | None = None
    session_token_file: SecretFile | None = None


class GuardConfig(_Part):
    """What a list must be like before it takes the place of the one in use; `max_shrink` and `max_malformed`
    of the feed belong to it, too."""

    min_entries: int = Field(default=1, ge=1)
    max_entries: int = Field(default=200_000_000, ge=1)  # NSRL, the largest known, has 74 million SHA-256
    max_growth: float = Field(
        default=10.0, gt=1
    )  # times what the list in use has; a new source may well double it
    max_repeats: int = Field(default=10, ge=1)  # one exporter wrote the same PhotoDNA value on every record
    max_benign: float = Field(default=0.001, ge=0, le=1)  # of the values; stock pictures come in by the dozen
    canary: Canary = Field(default_factory=dict)


class SignatureConfig(_Part):
    """By which keys a list has to be signed, and what the signature has to say; unsigned without `kind`."""

    kind: Literal["minisign", "openpgp"] | None = None
    keys: tuple[Text, ...] = ()
    key_files: tuple[AbsolutePath, ...] = ()
    url: Url | None = None
    feed: Text | None = None
    file: Text | None = None
    max_age: Seconds = 30 * _DAY
    require_serial: bool = False
    require_name: bool = True
    keep_refused: bool = True


class FeedConfig(_Part):
    """One hash list and what it means."""

    name: Name
    url: Url
    format: FormatName = "auto"
    polarity: Literal["illegal", "benign"] = "illegal"
    categories: tuple[Category, ...] | None = Field(default=None, min_length=1)
    every: Seconds = _HOUR
    max_age: Seconds = 2 * _DAY
    on_match: OnMatch = OnMatch()
    columns: Mapping[str, Column] = Field(default_factory=dict)
    values: Mapping[ValueField, Mapping[str, Meaning]] = Field(default_factory=dict)
    header: bool = True
    delimiter: Delimiter | None = None
    encoding: Encoding | None = None
    hash: AnyKind | None = None
    member: Text | None = None
    insecure: bool = False
    bearer_file: SecretFile | None = None
    basic_file: SecretFile | None = None
    header_files: Mapping[Header, SecretFile] = Field(default_factory=dict)
    ca_file: SecretFile | None = None
    certificate_file: SecretFile | None = None
    certificate_key_file: SecretFile | None = None
    allowed_hosts: tuple[Host, ...] = ()
    proxy: ServerUrl | None = None
    proxy_basic_file: SecretFile | None = None
    compressed: bool = False
    newest_by: Literal["time", "name"] = "time"
    s3: S3 = S3()
    signature: SignatureConfig = SignatureConfig()
    identity_file: SecretFile | None = None
    shared_key_file: SecretFile | None = None
    exchange: FormatName | None = None
    options: Mapping[str, Text] = Field(default_factory=dict)
    max_malformed: float = Field(default=0.01, ge=0, lt=1)  # of a list that is whole
    max_shrink: float = Field(default=0.9, gt=0, le=1)  # a list that lost more was cut off, or is another one
    guard: GuardConfig = GuardConfig()
    max_bytes: Size = 8 * _GIB  # a list of ten million entries in VICS JSON is some 5 GB


class Schedule(_Part):
    """When things happen by themselves."""

    scan_every: Seconds = _DAY
    plain_walk_every: Seconds = 7 * _DAY


def _user_numbers(user: str | int, where: str) -> tuple[int, int]:
    """Numbers of a user without power and of its group."""
    try:
        entry = pwd.getpwnam(user) if isinstance(user, str) else pwd.getpwuid(user)
    except KeyError:
        if isinstance(user, int):
            return user, user
        remedy = "Name a user of this machine, without power"
        raise ConfigError(f"there is no user '{user}'", where=where, remedy=remedy) from None
    if entry.pw_uid == 0:
        raise ConfigError(f"the user '{user}' is root", where=where)
    return entry.pw_uid, entry.pw_gid


class Hashing(_Part):
    """What is hashed, and what the hashing workers may use."""

    workers: Workers = "auto"
    exact: tuple[ExactKind, ...] = Field(default=DEFAULT_EXACT, min_length=1)
    perceptual: PerceptualKinds = (PDQ.name,)
    views: Views = DEFAULT_VIEWS
    select: Literal["media", "all"] = "media"
    max_file_size: Size = 256 * _GIB  # a sparse file may claim 8 EiB
    time_limit: Seconds = 30.0  # for any file; large ones get more in proportion to their size
    memory: Size = Field(default=2 * _GIB, ge=256 * _MIB)  # below, a worker can't even load its decoders
    user: User = "nobody"
    sandbox: Literal["preferred", "required"] = "preferred"  # what a missing layer of the workers' means

    @property
    def auto(self) -> bool:
        """Whether the perceptual kinds that lists bring are computed, too."""
        return AUTO in self.perceptual

    @property
    def named(self) -> tuple[str, ...]:
        """The perceptual kinds that are named."""
        return tuple(kind for kind in self.perceptual if kind != AUTO)

    @property
    def computed(self) -> tuple[str, ...]:
        """The perceptual kinds that are computed whatever lists bring; PDQ by `auto`, too: then a list that
        has it, as most do that have any, meets known files at once."""
        return tuple(dict.fromkeys((*self.named, PDQ.name))) if self.auto else self.perceptual

    @property
    def worker_count(self) -> int:
        """How many workers to run; auto is one for each processor this process may use."""
        return self.workers if isinstance(self.workers, int) else len(os.sched_getaffinity(0))

    @property
    def worker_user(self) -> tuple[int, int]:
        """Numbers of the user and group that workers run as: our own where we may not choose (not root).

        Raises:
            ConfigError: there is no such user, or it is root under another name.
        """
        if os.geteuid() != 0:
            return os.geteuid(), os.getegid()
        return _user_numbers(self.user, "hashing.user")


class Sync(_Part):
    """Who fetches and reads hash lists, and what the processes that do it may use."""

    by: Literal["daemon", "service"] = "daemon"
    user: User = "nobody"
    memory: Size = Field(default=8 * _GIB, ge=512 * _MIB)  # of address space, most of it mapped lists
    key_file: SecretFile | None = None
    time_limit: Seconds = 2 * _HOUR  # 5 GB at 20 Mbit/s take 35 minutes to come, and as long to read

    @property
    def process_user(self) -> tuple[int, int]:
        """Numbers of the user and group they run as: our own where we may not choose (not root).

        Raises:
            ConfigError: there is no such user, or it is root under another name.
        """
        if os.geteuid() != 0:
            return os.geteuid(), os.getegid()
        return _user_numbers(self.user, "sync.user")


class PdqLimit(_Part):
    """When a PDQ hash is a match. 256 bits; unrelated pictures lie around 128 apart."""

    max_distance: int = Field(default=PDQ.max_distance, ge=0, le=64)
    min_quality: int = Field(default=PDQ.min_quality, ge=0, le=100)


class PhashLimit(_Part):
    """When a pHash is a match. 64 bits; unrelated photographs come as near as 16."""

    max_distance: int = Field(default=PHASH.max_distance, ge=0, le=15)
    min_quality: int = Field(default=PHASH.min_quality, ge=0, le=100)


class Phash256Limit(_Part):
    """When a pHash of 256 bits is a match. Unrelated photographs lie 104 and more apart."""

    max_distance: int = Field(default=PHASH256.max_distance, ge=0, le=64)
    min_quality: int = Field(default=PHASH256.min_quality, ge=0, le=100)


class DhashLimit(_Part):
    """When a dHash is a match. 64 bits, coarser than pHash."""

    max_distance: int = Field(default=DHASH.max_distance, ge=0, le=15)
    min_quality: int = Field(default=DHASH.min_quality, ge=0, le=100)


class Matching(_Part):
    """When perceptual hashes are near enough."""

    pdq: PdqLimit = PdqLimit()
    phash: PhashLimit = PhashLimit()
    dhash: DhashLimit = DhashLimit()
    phash256: Phash256Limit = Phash256Limit()

    def by_kind(self) -> dict[str, PdqLimit | PhashLimit | DhashLimit | Phash256Limit]:
        """The limits by the name of the hash kind."""
        return {
            PDQ.name: self.pdq,
            PHASH.name: self.phash,
            DHASH.name: self.dhash,
            PHASH256.name: self.phash256,
        }


class Quarantine(_Part):
    """The vault."""

    directory: AbsolutePath | None = None  # below the state directory
    reserve: Size = _GIB
    max_size: Size | None = None
    clear_immutable: bool = False
    retry_every: Seconds = 15 * 60.0
    securer: AbsolutePath | None = None  # this process has the vault itself
    securer_user: User = "hostsweep"

    @property
    def securer_uid(self) -> int:
        """Number of the user that may speak to the securer besides root.

        Raises:
            ConfigError: there is no such user, or it is root under another name.
        """
        return _user_numbers(self.securer_user, "quarantine.securer_user")[0]


class BrakeConfig(_Part):
    """When securing stops because there are more hits than is plausible."""

    max_hits: int = Field(default=500, ge=1)
    max_share: float = Field(default=0.02, gt=0, le=1)
    share_after: int = Field(default=50, ge=1)


class HttpConfig(_Part):
    """Metrics, health, and what operators may do from elsewhere."""

    listen: ListenAddress = Listen("127.0.0.1", 9797)
    token_file: SecretFile | None = None


class ServeConfig(_Part):
    """Answering hash checks of others (`hostsweep feed serve`)."""

    listen: ListenAddress = Listen("127.0.0.1", 9798)
    clients_file: SecretFile | None = None
    feeds: tuple[Name, ...] = ()  # all


class Config(_Part):
    """The whole file."""

    volumes: tuple[VolumeConfig, ...] = ()
    feeds: tuple[FeedConfig, ...] = ()
    sync: Sync = Sync()
    schedule: Schedule = Schedule()
    hashing: Hashing = Hashing()
    matching: Matching = Matching()
    quarantine: Quarantine = Quarantine()
    brake: BrakeConfig = BrakeConfig()
    http: HttpConfig = HttpConfig()
    serve: ServeConfig = ServeConfig()
    state_directory: AbsolutePath | None = None
    feeds_directory: AbsolutePath | None = None  # below the state directory

    _origin: Origin = PrivateAttr(default_factory=Origin)

    @property
    def origin(self) -> Origin:
        """The file and the lines this was read from."""
        return self._origin

    @property
    def quarantine_directory(self) -> Path | None:
        """Where the vault is, as far as the file says; None: below a state directory named elsewhere."""
        if self.quarantine.directory is None and self.state_directory is not None:
            return self.state_directory / "quarantine"
        return self.quarantine.directory
