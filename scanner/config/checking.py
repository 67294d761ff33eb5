"""What a configuration names outside itself: directories, secrets, users. Looked at when asked for."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from scanner.config.models import Config, FeedConfig, Place
from scanner.config.problems import Problem, error_of
from scanner.config.rules import inside
from scanner.config.secrets import read_secret, read_token
from scanner.model.errors import ConfigError
from scanner.system.mounts import is_remote, type_at
from scanner.system.probing import stuck_in

_PROBE_SECONDS = 5.0  # a server that needs longer is told of when its volume is scanned


def check_files(config: Config, quarantine: Path | None = None) -> tuple[str, ...]:
    """Check everything on this machine that the configuration relies on.

    Args:
        config: as loaded.
        quarantine: where the vault is, when the state directory is named elsewhere.

    Returns:
        warnings: what works, but not as safely as it could.

    Raises:
        ConfigError: a volume, secret or user is missing, or the vault lies where customers can reach it.
    """
    vault = quarantine or config.quarantine_directory
    problems = [*_volumes(config, vault), *_user(config), *_securer_user(config)]
    warnings = [*_loose_file(config.origin.file), *_open_listen(config)]
    if config.sync.by == "daemon":  # else none of the daemon's business, and secrets out of its reach
        of_feeds = _feeds(config)
        problems += of_feeds[0]
        warnings += of_feeds[1]
    if (token := config.http.token_file) is not None:
        try:
            warnings += filter(None, [read_token(token).warning])
        except ConfigError as e:
            problems.append(Problem(("http", "token_file"), str(e)))
    if problems:
        raise error_of(config.origin, problems)
    return tuple(warnings)


def check_feeds(config: Config) -> tuple[str, ...]:
    """Check what syncing relies on, and nothing else.

    Returns:
        warnings.

    Raises:
        ConfigError: a secret or user is missing.
    """
    problems, warnings = _feeds(config)
    if problems:
        raise error_of(config.origin, problems)
    return (*_loose_file(config.origin.file), *warnings)


def _feeds(config: Config) -> tuple[list[Problem], list[str]]:
    problems: list[Problem] = []
    warnings: list[str] = []
    try:
        _ = config.sync.process_user
    except ConfigError as e:
        problems.append(Problem(("sync", "user"), f"expected a user of this machine without power: {e.what}"))
    for n, feed in enumerate(config.feeds):
        warnings += _feed_warnings(feed)
        problems += _key_files(("feeds", n, "signature", "key_files"), feed)
        for key, path in (("bearer_file", feed.bearer_file), ("basic_file", feed.basic_file)):
            if path is None:
                continue
            try:
                warnings += filter(None, [read_secret(path).warning])
            except ConfigError as e:
                problems.append(Problem(("feeds", n, key), str(e)))
    return problems, warnings


def _key_files(place: Place, feed: FeedConfig) -> Iterator[Problem]:
    """Whoever can write such a file decides whom we believe."""
    for n, path in enumerate(feed.signature.key_files):
        try:
            st = path.stat()
        except OSError as e:
            yield Problem((*place, n), f"expected a file with public keys, found none ({e.strerror})")
            continue
        if st.st_mode & 0o022 or st.st_uid not in (0, os.geteuid()):
            yield Problem(
                (*place, n), "others may change this file, and so decide who is believed; run chmod go-w"
            )
    if feed.identity_file is not None and not feed.identity_file.is_file():
        yield Problem((*place[:2], "identity_file"), "expected a file with age identities, found none")


def _volumes(config: Config, vault: Path | None) -> Iterator[Problem]:
    for n, volume in enumerate(config.volumes):
        place: Place = ("volumes", n, "path")
        if is_remote(type_at(os.fsencode(volume.path))) and stuck_in(
            os.fsencode(volume.path), _PROBE_SECONDS
        ):
            continue  # no fault of the configuration, and touching it would hold us up as well
        try:
            is_directory = stat.S_ISDIR(volume.path.stat().st_mode)
        except OSError as e:
            yield Problem(place, f"expected a directory, found none at {volume.path} ({e.strerror})")
            continue
        if not is_directory:
            yield Problem(place, f"expected a directory, found something else at {volume.path}")
        elif vault is not None and (reason := vault_in_reach(volume.path, vault)):
            in_file = config.quarantine.directory is not None
            yield Problem(("quarantine", "directory") if in_file else place, reason)


def vault_in_reach(volume: Path, vault: Path) -> str:
    """Why a vault must not be used with a volume; "" if it may.

    What lies in a volume is served to the world or belongs to customers, who could rename or remove
    directories there. Inside one (a scan of `/`, say) the vault is out of reach only behind a directory
    that belongs to us and is closed to everybody else.
    """
    root, place = Path(os.path.realpath(volume)), Path(os.path.realpath(vault))
    if inside(root, place):
        return f"the volume {volume} is the vault or lies in it"
    if not inside(place, root):
        return ""
    above = [p for p in place.parents if root in p.parents]
    if any(_closed(p) for p in above):
        return ""
    return (
        f"the vault {vault} lies in the volume {volume}, where customers or the web server can reach it: "
        "move it out, or into a directory of mode 0700 that belongs to root"
    )


def _closed(directory: Path) -> bool:
    try:
        st = directory.stat()
    except OSError:
        return False
    return st.st_uid in (0, os.geteuid()) and not st.st_mode & 0o077


def _user(config: Config) -> Iterator[Problem]:
    try:
        _ = config.hashing.worker_user
    except ConfigError as e:
        yield Problem(("hashing", "user"), f"expected a user of this machine without power: {e.what}")


def _securer_user(config: Config) -> Iterator[Problem]:
    if config.quarantine.securer is None:
        return
    try:
        _ = config.quarantine.securer_uid
    except ConfigError as e:
        yield Problem(("quarantine", "securer_user"), f"expected a user of this machine: {e.what}")


def _feed_warnings(feed: FeedConfig) -> Iterator[str]:
    url = urlsplit(feed.url)
    if url.username or url.password:
        yield f"feed {feed.name}: its url holds a user or password; put them into a basic_file"
    if feed.insecure:
        yield f"feed {feed.name}: insecure is set, so the list can be changed on its way"
    identities = feed.identity_file
    if identities is not None and identities.is_file() and identities.stat().st_mode & 0o077:
        yield f"{identities}: others may read this secret; run chmod 600"
    if url.scheme == "file" and not Path(unquote(url.path)).exists():
        yield f"feed {feed.name}: there is no file at its url yet"


def _loose_file(file: str) -> Iterator[str]:
    if file and Path(file).exists() and Path(file).stat().st_mode & 0o022:
        yield f"{file}: others may write this file, and so decide what is scanned; run chmod go-w"


def _open_listen(config: Config) -> Iterator[str]:
    listen = config.http.listen
    if listen.loopback:
        return
    if config.http.token_file is None:
        yield f"http.listen: other machines can reach {listen}, and there is no password: no http.token_file"
    else:
        yield f"http.listen: other machines can reach {listen}, and the token goes there unencrypted"
