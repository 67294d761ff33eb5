"""Reading a configuration: what is right is read, what is wrong is said with its line."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from scanner.config import Config, effective, load, to_yaml
from scanner.model.errors import ConfigError

VOLUME = "volumes: [{name: web, path: /srv/www}]\n"


def read(tmp_path: Path, text: str, **options: Any) -> Config:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    return load(path, **options)


def refusal(tmp_path: Path, text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)
    return str(caught.value).replace(str(tmp_path) + "/", "")


def feed(rest: str) -> str:
    return f"feeds:\n  - name: police\n    url: https://h.example/l\n    {rest}\n"


def s3(lines: str) -> str:
    return f"feeds: [{{name: a, url: 's3://bucket/key', s3: {{{lines}}}}}]\n"


def test_values_arrive_plain_with_units_resolved(tmp_path: Path) -> None:
    config = read(
        tmp_path,
        VOLUME
        + feed("categories: [1, A1]\n    max_age: 7d")
        + "hashing: {max_file_size: 2GiB, time_limit: 90s}\n",
    )
    assert config.volumes[0].path == Path("/srv/www")
    assert config.feeds[0].categories == ("1", "A1")
    assert config.feeds[0].max_age == 7 * 86400
    assert (config.hashing.max_file_size, config.hashing.time_limit) == (2 << 30, 90)


def test_all_problems_are_told_at_once_in_the_order_of_their_lines(tmp_path: Path) -> None:
    text = "brake: {max_hits: 0}\nvolumes:\n  - name: web\n    pth: /srv\nhashing:\n  exact: [md5, sha9]\n"
    assert refusal(tmp_path, text).splitlines() == [
        "config.yaml: 4 problems",
        "  line 1: brake.max_hits: expected at least 1, found 0",
        "  line 3: volumes[0].path: this key is required",
        "  line 4: volumes[0].pth: unknown key; did you mean path?",
        "  line 6: hashing.exact[1]: expected one of md5, sha1, sha256, sha512, found 'sha9'",
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("hashing:\n  user: root\n", "config.yaml:2: hashing.user: expected a user without power"),
        ("hashing:\n  workers: '4'\n", "2: hashing.workers: expected auto or a number"),
        ("hashing: {perceptual: [PhotoDNA]}\n", "PhotoDNA is licensed software"),
        ("hashing: {views: [turned]}\n", "hashing.views: expected whole among the views"),
        ("hashing: {views: [tilted]}\n", "hashing.views: expected whole among the views"),
        (
            "hashing: {views: [whole, tilt]}\n",
            "hashing.views: expected views among whole, turned, box, tilted, straightened, widened, cropped",
        ),
        ("hashing: {exact: []}\n", "expected at least 1 entry"),
        (
            "http: {}\nmatching: {pdq: {max_distance: 65}}\n",
            "2: matching.pdq.max_distance: expected at most 64",
        ),
        ("brake: {max_share: .nan}\n", "brake.max_share: expected"),
        (
            "quarantine: {directory: vault}\n",
            "expected an absolute path without '..', such as /srv/www, found",
        ),
        ("volumes:\n", "config.yaml:1: volumes: expected a list, found nothing"),
        ("volumes: [{name: a/b, path: /x}]\n", "expected a name of 1 to 63"),
        ("volumes: [{name: a, path: /x, one_filesystem: 'yes'}]\n", "expected true or false, found 'yes'"),
        ("volumes: [{name: a, path: /x, mail_stores: {scan: true}}]\n", "needs a ground"),
        ("volumes: [{name: a, path: /x, mail_stores: {scan: true, ground: ' '}}]\n", "needs a ground"),
        ("volumes: [{name: a, path: /x, customer: '/y/{customer}/'}]\n", "no path of this volume can fit"),
        ("volumes: [{name: a, path: /x, customer: '/x/{user}/'}]\n", "with one {customer} in it"),
        (
            "volumes:\n  - {name: a, path: /x}\n  - {name: A, path: /y}\n",
            "3: volumes[1].name: the same name as",
        ),
        (
            "volumes:\n  - {name: a, path: /x}\n  - {name: b, path: /x/}\n",
            "3: volumes[1].path: the same path",
        ),
        (feed("categories: [0]"), "4: feeds[0].categories[0]: expected a category that acts"),
        (feed("categories: [yes]"), "as the publisher writes it"),
        (feed("categories: []"), "leave the key out for the default"),
        (feed("max_age: 30m"), "expected at least 'every' (1h)"),
        (feed("polarity: bad"), "expected 'illegal' or 'benign', found 'bad'"),
        (
            feed("columns: {x: 'md5:rot13'}"),
            "feeds[0].columns.x: expected a column such as md5, or one with how",
        ),
        (feed("values: {md5: {a: b}}"), "values.md5.[key]: expected 'type', 'category'"),
        (feed("columns: {md5: MD5 Hash}"), "feeds[0].columns.md5: expected one of md5, sha1"),
        (feed("delimiter: ', '"), "expected one character between columns"),
        (feed("encoding: utf-9"), "expected a character encoding"),
        (feed("encoding: base64"), "expected a character encoding"),
        (feed("bearer_file: /a\n    basic_file: /b"), "either bearer_file or basic_file"),
        ("feeds: [{name: a, url: 'http://h.example/l'}]\n", "use https://, or set insecure: true"),
        ("feeds: [{name: a, url: 'file:///l', bearer_file: /t}]\n", "a secret is sent by https://"),
        ("feeds: [{name: a, url: 'file://host/l'}]\n", "expected file:/// and an absolute path"),
        ("feeds: [{name: a, url: 'ftp://h/l'}]\n", "feeds[0].url: expected https://HOST/PATH"),
        (feed("header_files: {Host: /a}"), "expected another header"),
        (feed("header_files: {'X: y': /a}"), "expected the name of a header"),
        (feed("header_files: {X-Key: S3CRET}"), "feeds[0].header_files.X-Key: expected an absolute path"),
        (feed("allowed_hosts: ['https://h.example/']"), "expected the name of a host"),
        (feed("proxy: 'http://u:p@p.example'"), "feeds[0].proxy: expected https://HOST or http://HOST"),
        (feed("proxy: 'socks5://p.example'"), "feeds[0].proxy: expected https://HOST or http://HOST"),
        (feed("allowed_hosts: ['*.example']"), "expected the name of a host"),
        (feed("proxy_basic_file: /a"), "this belongs to proxy, which is missing"),
        (feed("certificate_key_file: /a"), "this belongs to certificate_file, which is missing"),
        (feed("certificate_file: /a\n    proxy: 'https://p.example'"), "passes TLS through"),
        (feed("s3: {region: x}"), "feeds[0].s3: this belongs to a url that begins with s3://"),
        ("feeds: [{name: a, url: 's3://bucket'}]\n", "expected s3://BUCKET/KEY"),
        (s3("access_key_file: /a"), "expected both access_key_file and secret_key_file"),
        (s3("endpoint: 'http://o.example'"), "feeds[0].s3.endpoint: http:// to another machine"),
        (s3("region: x}, bearer_file: /a, options: {"), "in place of other logins"),
        (
            "feeds: [{name: a, url: 'file:///l/', header_files: {X-Key: /t}}]\n",
            "a secret is sent by https://",
        ),
        ("feeds: [{name: a, url: 'file:///l/', ca_file: /t}]\n", "this is for servers"),
        ("feeds: [{name: a, url: 'http://h/l', insecure: true, certificate_file: /t}]\n", "a secret is sent"),
    ],
)
def test_a_wrong_value_is_refused_with_its_place(tmp_path: Path, text: str, told: str) -> None:
    assert told in refusal(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "expected keys and values such as 'volumes:' at the top, found nothing"),
        ("- a\n", "expected keys and values such as 'volumes:' at the top"),
        ("http: {}\nhttp: {}\n", "config.yaml:2:1: the key stands here twice, first on line 1"),
        ("http: {}\nvolumes: [a\nb: c\n", "config.yaml:3:2: while parsing a flow sequence"),
        ("http: {}\n---\nhttp: {}\n", "config.yaml:2:1: expected a single document"),
        ("hashing:\n  workers: 010\n", "config.yaml:2:12: write a number in plain decimal digits"),
        ("a: !!python/object/apply:os.system [x]\n", "config.yaml:1:4: tags (!name) are not accepted here"),
        ("a: \x07\n", "config.yaml:1: there is a control character"),
        ("? [a]\n: 1\n", "a key must be plain text"),
    ],
)
def test_what_is_not_plain_yaml_is_refused_with_line_and_column(tmp_path: Path, text: str, told: str) -> None:
    assert told in refusal(tmp_path, text)


def test_a_missing_file_an_unreadable_place_and_other_encodings_are_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no such file"):
        load(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match="not a regular file"):
        load(tmp_path)
    (tmp_path / "f").write_text("")
    with pytest.raises(ConfigError, match=r"can't be read \(Not a directory\)"):
        load(tmp_path / "f" / "config.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"http: {}\n# caf\xe9\n")
    with pytest.raises(ConfigError, match=r"latin\.yaml:2: this is not UTF-8"):
        load(tmp_path / "latin.yaml")


def test_a_pipe_in_the_files_place_does_not_hold_the_reader_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "config.yaml")
    with pytest.raises(ConfigError, match="not a regular file"):
        load(tmp_path / "config.yaml")


def test_aliases_that_unfold_to_gigabytes_and_deep_nesting_are_refused_at_once(tmp_path: Path) -> None:
    laughs = "a: &a [x, x, x, x, x, x, x, x, x]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True):
        laughs += f"{name}: &{name} [" + ", ".join([f"*{before}"] * 9) + "]\n"
    started = time.monotonic()
    assert "config.yaml:2:8: aliases (*name) are not accepted" in refusal(tmp_path, laughs)
    assert "nested too deeply" in refusal(tmp_path, "[" * 100_000)
    assert "too large for a configuration" in refusal(tmp_path, "a" * (2 << 20))
    assert time.monotonic() - started < 2


def test_secrets_are_never_repeated_in_an_error(tmp_path: Path) -> None:
    text = (
        "feeds: [{name: a, url: 'htps://u:S3CRET@h/?k=S3CRET', password: S3CRET, basic_file: 'u:S3CRET'}]\n"
    )
    told = refusal(tmp_path, text)
    assert "feeds[0].basic_file: expected an absolute path" in told
    assert "S3CRET" not in told


def test_a_found_value_can_not_act_on_the_terminal(tmp_path: Path) -> None:
    told = refusal(tmp_path, 'hashing: {user: "", select: "\\e[2J\\u202e"}\n')
    assert "\\x1b[2J\\u202e" in told
    assert "\x1b" not in told


def test_environment_variables_stand_for_themselves_in_secret_files_only(tmp_path: Path) -> None:
    environ = {"CREDENTIALS_DIRECTORY": "/run/credentials/hostsweep"}
    config = read(tmp_path, feed("bearer_file: ${CREDENTIALS_DIRECTORY}/token"), environ=environ)
    assert config.feeds[0].bearer_file == Path("/run/credentials/hostsweep/token")
    path = read(tmp_path, "quarantine: {directory: '/x/${HOME}'}\n", environ={"HOME": "/root"})
    assert path.quarantine.directory == Path("/x/${HOME}")
    with pytest.raises(ConfigError, match="the environment variable CREDENTIALS_DIRECTORY is not set"):
        read(tmp_path, feed("bearer_file: ${CREDENTIALS_DIRECTORY}/token"), environ={})


def test_a_kind_that_a_plug_in_adds_is_accepted_only_when_it_is_there(tmp_path: Path) -> None:
    text = "hashing: {perceptual: [pdq, photodna]}\n"
    assert "PhotoDNA" in refusal(tmp_path, text)
    assert read(tmp_path, text, kinds=["photodna"]).hashing.perceptual == ("pdq", "photodna")


def test_perceptual_kinds_may_be_those_that_lists_bring_and_more(tmp_path: Path) -> None:
    alone = read(tmp_path, "hashing: {perceptual: auto}\n")
    assert (alone.hashing.auto, alone.hashing.named, alone.hashing.computed) == (True, (), ("pdq",))
    assert "perceptual: auto\n" in to_yaml(alone)
    more = read(tmp_path, "hashing: {perceptual: [auto, photodna]}\n", kinds=["photodna"]).hashing
    assert (more.auto, more.named, more.computed) == (True, ("photodna",), ("photodna", "pdq"))


def test_a_volume_inside_the_vault_is_refused(tmp_path: Path) -> None:
    text = "volumes: [{name: a, path: /q/items}]\nquarantine: {directory: /q}\n"
    assert "volumes[0].path: this is the vault itself or lies in it" in refusal(tmp_path, text)


def test_columns_go_by_number_where_there_is_no_header(tmp_path: Path) -> None:
    config = read(tmp_path, VOLUME + feed("header: false\n    columns: {1: 'sha1:base32', 3: category}"))
    assert config.feeds[0].columns == {"1": "sha1:base32", "3": "category"}
    assert not config.feeds[0].header


def test_what_is_shown_masks_secrets_and_reads_back_as_the_same(tmp_path: Path) -> None:
    config = read(
        tmp_path,
        VOLUME
        + feed(
            "basic_file: /run/login\n    delimiter: \"\\t\"\n    columns: {'MD5 Hash': md5}\n"
            "    values: {category: {CAM: 1, other: '0'}}\n    member: '*.csv'"
        ),
    )
    assert read(tmp_path, to_yaml(config)) == config
    assert config.feeds[0].values == {"category": {"CAM": "1", "other": "0"}}
    secret = read(tmp_path, "feeds: [{name: a, url: 'https://u:S3CRET@h.example:8443/l?key=S3CRET'}]\n")
    assert effective(secret)["feeds"][0]["url"] == "https://***@h.example:8443/l?***"
    assert "S3CRET" not in to_yaml(secret)
    assert yaml.safe_load(to_yaml(config))["feeds"][0]["basic_file"] == "/run/login"
