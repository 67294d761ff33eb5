"""Configuration: any file is a Config or a ConfigError, and a Config that is shown reads back as itself."""

from __future__ import annotations

from pathlib import Path

from fuzzing import Target, file_of, harmless, law

from scanner.config import effective, load, to_yaml
from scanner.config.models import Config
from scanner.model.errors import ConfigError

_ENVIRON = {"CREDENTIALS_DIRECTORY": "/run/credentials"}
_KINDS = ("licensed",)
_ROOT = Path(__file__).parents[3]


def _load(content: bytes) -> Config:
    with file_of(content) as path:
        return load(path, environ=_ENVIRON, kinds=_KINDS)


def check(data: bytes) -> None:
    try:
        config = _load(data)
    except ConfigError as e:
        law(e.where.startswith("/proc/self/fd/"), "an error says in which file")
        harmless(str(e), "an error", lines=True)
        return
    shown = effective(config)
    if [feed["url"] for feed in shown["feeds"]] == [feed.url for feed in config.feeds]:
        law(_load(to_yaml(config).encode()) == config, "what is shown reads back as the same configuration")


def seeds() -> dict[str, bytes]:
    example = (_ROOT / "config" / "example.yaml").read_text().splitlines()
    return {
        "example": "\n".join(line for line in example if not line.lstrip().startswith("#")).encode(),
        "volumes": b"volumes:\n  - {name: a, path: /srv/a, exclude: ['*.log'], shown_as: /x}\n",
        "feeds": (
            b"feeds:\n- name: f\n  url: file:///l.csv\n  format: csv\n  columns: {H: md5}\n"
            b'  delimiter: "\\t"\n  categories: [1, A1]\n  every: 1h30m\n  max_bytes: 2GiB\n'
            b"  bearer_file: ${CREDENTIALS_DIRECTORY}/t\n"
        ),
        "rest": (
            b"hashing: {workers: 2, exact: [md5], perceptual: [pdq], memory: 1GiB, user: 65534}\n"
            b"matching: {pdq: {max_distance: 31}}\nbrake: {max_share: 0.5}\nhttp: {listen: '[::1]:0'}\n"
            b"state_directory: /var/lib/hostsweep\n"
        ),
        "wrong": b"volums: []\nhttp: {listen: 7}\nfeeds: [{url: 'http://u:secret@h/'}]\n",
        "alias": b"a: &x [1]\nb: *x\n",
        "tag": b"a: !!python/object:x {}\n",
        "deep": b"a: " + b"[" * 40,
        "number": b"brake: {max_hits: 0o17}\n",
        "numbers": b"brake: {max_share: .nan}\nquarantine: {reserve: 99999999999999999999}\n",
    }


_KEYS = tuple(Config.model_fields) + (
    "name",
    "path",
    "url",
    "every",
    "columns",
    "encoding",
    "hash",
    "exclude",
)
WORDS = (
    *(f"{key}: ".encode() for key in _KEYS),
    b"\n  - ",
    b"&a ",
    b"*a",
    b"!!",
    b"${",
    b"? ",
    b"|\n",
    b">\n",
)
TARGET = Target(
    check, seeds, (*WORDS, b"%YAML 1.1\n---\n", b"<<: ", b".inf", b"https://", b"0x1f", b"\\u202e")
)
