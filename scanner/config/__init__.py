"""The configuration file: the only place that reads it. Everything else gets plain values.

`load` reads and validates, `check_files` looks at what it names on disk, `effective` and `to_yaml` show it.
"""

from scanner.config.checking import check_feeds, check_files, vault_in_reach
from scanner.config.loading import load
from scanner.config.models import BandConfig, Config, FeedConfig, Hashing, Matching, Origin, VolumeConfig
from scanner.config.secrets import Secret, read_private, read_secret, read_token
from scanner.config.showing import effective, mask_url, to_yaml
from scanner.config.units import Listen, parse_duration, parse_listen, parse_size

__all__ = [
    "BandConfig",
    "Config",
    "FeedConfig",
    "Hashing",
    "Listen",
    "Matching",
    "Origin",
    "Secret",
    "VolumeConfig",
    "check_feeds",
    "check_files",
    "effective",
    "load",
    "mask_url",
    "parse_duration",
    "parse_listen",
    "parse_size",
    "read_private",
    "read_secret",
    "read_token",
    "to_yaml",
    "vault_in_reach",
]
