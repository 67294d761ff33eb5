"""What must hold between keys: checked once every value by itself is right."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from scanner.config.bands import broken_bands
from scanner.config.models import Config, FeedConfig, Place, SignatureConfig, VolumeConfig
from scanner.config.problems import Problem
from scanner.config.units import format_duration, is_loopback

_CUSTOMER = "{customer}"
_KEYS = {
    "minisign": (
        re.compile(r"RW[A-Za-z0-9+/]{54}"),
        "a public key of minisign: 56 characters that begin with RW",
    ),
    "openpgp": (
        re.compile(r"[0-9A-Fa-f]{40}([0-9A-Fa-f]{24})?"),
        "a key's fingerprint of 40 hexadecimal digits",
    ),
}


def broken_rules(config: Config) -> list[Problem]:
    """Everything that doesn't fit together, in no order."""
    return [
        *_doubled(("volumes",), "name", [v.name for v in config.volumes]),
        *_doubled(("volumes",), "path", [str(v.path) for v in config.volumes]),
        *_doubled(("feeds",), "name", [f.name for f in config.feeds]),
        *(problem for n, volume in enumerate(config.volumes) for problem in _volume(n, volume)),
        *(problem for n, feed in enumerate(config.feeds) for problem in _feed(n, feed)),
        *(
            problem
            for n, feed in enumerate(config.feeds)
            for problem in broken_bands(("feeds", n), feed, config)
        ),
        *_own_ground(config),
        *_serve(config),
        *_sync(config),
        *_securer(config),
    ]


def _doubled(where: Place, key: str, values: Sequence[str]) -> Iterator[Problem]:
    seen: dict[str, int] = {}
    for n, value in enumerate(values):
        # Names that differ in case alone would be one file where file systems don't tell them apart.
        same = value.casefold() if key == "name" else value
        if same in seen:
            yield Problem((*where, n, key), f"the same {key} as {where[0]}[{seen[same]}]")
        seen.setdefault(same, n)


def _volume(n: int, volume: VolumeConfig) -> Iterator[Problem]:
    place: Place = ("volumes", n)
    if volume.mail_stores.scan and not volume.mail_stores.ground.strip():
        yield Problem(
            (*place, "mail_stores"),
            "scanning private mail needs a ground: say in 'ground' what permits it (law, contract, order)",
        )
    if volume.customer is not None:
        yield from _customer(place, volume, volume.customer)


def _customer(place: Place, volume: VolumeConfig, pattern: str) -> Iterator[Problem]:
    place = (*place, "customer")
    if not pattern.startswith("/") or pattern.count(_CUSTOMER) != 1:
        text = f"expected an absolute path with one {_CUSTOMER} in it, such as /srv/www/{_CUSTOMER}/"
        yield Problem(place, text)
        return
    before = pattern.partition(_CUSTOMER)[0]
    shown = str(volume.shown_as or volume.path)
    if not (before.startswith(shown) or shown.startswith(before.rstrip("/"))):
        yield Problem(place, f"no path of this volume can fit this pattern: its paths begin with {shown}")


def _feed(n: int, feed: FeedConfig) -> Iterator[Problem]:
    place: Place = ("feeds", n)
    url = urlsplit(feed.url)
    plain = url.scheme == "http" and not is_loopback(url.hostname or "")
    secret = next((key for key in _SECRETS if getattr(feed, key)), None)
    if plain and not feed.insecure:
        yield Problem(
            (*place, "url"),
            "http:// from another machine can be changed on its way: use https://, or set insecure: true",
        )
    if secret and (plain or url.scheme == "file"):
        yield Problem((*place, secret), "a secret is sent by https:// (or http:// to this machine) only")
    yield from _reaching(place, feed, url.scheme)
    if feed.bearer_file is not None and feed.basic_file is not None:
        yield Problem((*place, "basic_file"), "expected either bearer_file or basic_file, found both")
    yield from _signature((*place, "signature"), feed)
    if feed.max_age < feed.every:
        yield Problem(
            (*place, "max_age"),
            f"expected at least 'every' ({format_duration(feed.every)}): the feed would never be fresh",
        )


# Keys of a feed whose files hold secrets, or show who we are.
_SECRETS = ("bearer_file", "basic_file", "header_files", "certificate_file")


def _reaching(place: Place, feed: FeedConfig, scheme: str) -> Iterator[Problem]:
    """Keys that say how a server is reached."""
    if scheme == "file":
        of_servers = ("ca_file", "allowed_hosts", "proxy", "compressed")
        for key in (key for key in of_servers if getattr(feed, key)):
            yield Problem((*place, key), "this is for servers, and the url is a file of this machine")
    for key, needed in (("certificate_key_file", "certificate_file"), ("proxy_basic_file", "proxy")):
        if getattr(feed, key) is not None and getattr(feed, needed) is None:
            yield Problem((*place, key), f"this belongs to {needed}, which is missing")
    if feed.proxy is not None and feed.proxy.startswith("https:") and feed.certificate_file is not None:
        yield Problem(
            (*place, "proxy"),
            "expected a proxy by http://, which passes TLS through: this one would be shown the client "
            "certificate as well",
        )
    yield from _object_store(place, feed, scheme)


def _object_store(place: Place, feed: FeedConfig, scheme: str) -> Iterator[Problem]:
    store = feed.s3
    if scheme != "s3":
        if store != type(store)():
            yield Problem((*place, "s3"), "this belongs to a url that begins with s3://")
        return
    if (store.access_key_file is None) != (store.secret_key_file is None):
        yield Problem((*place, "s3"), "expected both access_key_file and secret_key_file, or neither")
    if feed.bearer_file is not None or feed.basic_file is not None:
        yield Problem((*place, "s3"), "expected access_key_file and secret_key_file in place of other logins")
    endpoint = urlsplit(store.endpoint or "https://")
    if endpoint.scheme == "http" and not (feed.insecure or is_loopback(endpoint.hostname or "")):
        yield Problem(
            (*place, "s3", "endpoint"),
            "http:// to another machine can be changed on its way: use https://, or set insecure: true",
        )


def _signature(place: Place, feed: FeedConfig) -> Iterator[Problem]:
    wanted = feed.signature
    if wanted.kind is None:
        if wanted != SignatureConfig():
            yield Problem((*place, "kind"), "expected minisign or openpgp: nothing is verified without it")
        return
    if feed.exchange is not None and (feed.exchange != "tree" or wanted.kind != "minisign"):
        yield Problem(
            place, "of the lists that come by an exchange only a tree has a signature, one of minisign"
        )
    pattern, example = _KEYS[wanted.kind]
    for n, key in enumerate(wanted.keys):
        if not pattern.fullmatch(key.replace(" ", "")):
            yield Problem((*place, "keys", n), f"expected {example}")
    if wanted.kind == "openpgp" and not (wanted.keys and wanted.key_files):
        yield Problem(place, "openpgp needs both key_files and, in keys, the fingerprints that count")
    if not wanted.keys and not wanted.key_files:
        yield Problem(place, "expected at least one key, in keys or key_files")
    if wanted.url is not None and (urlsplit(wanted.url).scheme == "file") != (
        urlsplit(feed.url).scheme == "file"
    ):
        yield Problem(
            (*place, "url"), "expected the signature where the list is: both on this machine, or neither"
        )


def _own_ground(config: Config) -> Iterator[Problem]:
    """Our own directories are never a volume: evidence and lists would be scanned and secured again."""
    own = {
        "the vault": config.quarantine_directory,
        "the state directory": config.state_directory,
        "the feeds' directory": config.feeds_directory,
    }
    for n, volume in enumerate(config.volumes):
        for name, directory in own.items():
            if directory is not None and inside(volume.path, directory):
                yield Problem(("volumes", n, "path"), f"this is {name} itself or lies in it")
                break


def _serve(config: Config) -> Iterator[Problem]:
    if not config.serve.listen.loopback:
        yield Problem(
            ("serve", "listen"),
            "secrets and hashes would go over the network in the clear: listen on this machine, "
            "and let a web server with TLS pass requests on",
        )


def _sync(config: Config) -> Iterator[Problem]:
    if config.sync.by == "service" and config.feeds_directory is None:
        yield Problem(
            ("sync", "by"),
            "a service with a user of its own needs a directory of its own: name it in feeds_directory, "
            "such as /var/lib/hostsweep-feeds",
        )


def _securer(config: Config) -> Iterator[Problem]:
    """Who may write a directory can rename what is in it: the vault must not be in the daemon's hands."""
    quarantine, state = config.quarantine, config.state_directory or Path("/var/lib/hostsweep")
    if quarantine.securer is None:
        return
    if quarantine.directory is None or inside(quarantine.directory, state):
        yield Problem(
            ("quarantine", "directory"),
            f"with a securer the vault needs a directory outside of {state}, which is the daemon's",
        )


def inside(path: Path, directory: Path) -> bool:
    """Whether a path is a directory or lies in it, by name alone."""
    return path == directory or directory in path.parents
