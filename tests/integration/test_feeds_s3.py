"""Lists in an object store, by a simulator that checks each signature."""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from simulators import s3
from simulators.publisher import LIST, QUICK, Publisher, Waits, text
from yarl import URL

from scanner.feeds import FetchRequest, ObjectStore, Opened, fetch
from scanner.feeds.client import HttpClient
from scanner.feeds.objects import locate, signer
from scanner.model.errors import ConfigError, FeedTransportError
from scanner.model.ports import SystemIds
from scanner.pipeline.feed_processes import FeedLimits, FeedProcesses

KEY = "police-lists/hashes/a+b list(1)!$&'*,;=:@~.csv"
ID, SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"


@pytest.fixture
def store(publisher: Publisher) -> s3.ObjectStore:
    made = s3.ObjectStore("eu-west-3", {ID: SECRET}, objects={KEY: LIST})
    publisher.answers = [made.answer]
    return made


@pytest.fixture
def request_for(publisher: Publisher, tmp_path: Path) -> FetchRequest:
    (tmp_path / "id").write_text(f"{ID}\n")
    (tmp_path / "secret").write_text(SECRET)
    return FetchRequest(
        "police",
        f"s3://{KEY}".replace(" ", "%20"),
        store=ObjectStore(
            f"http://127.0.0.1:{publisher.port}", "eu-west-3", tmp_path / "id", tmp_path / "secret"
        ),
    )


async def fetched(request: FetchRequest, session: Any, staging: Path) -> Any:
    return await fetch(request, session, staging, policy=QUICK, sleep=Waits())


def test_the_simulators_reckoning_is_the_published_one() -> None:
    """Example "GET Object" of the S3 API reference, "Signature Calculations for the Authorization Header"."""
    headers = {
        "host": "examplebucket.s3.amazonaws.com",
        "range": "bytes=0-9",
        "x-amz-content-sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "x-amz-date": "20130524T000000Z",
    }
    found = s3.signature(
        "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "us-east-1", "GET", "/test.txt", "", headers,
        "host;range;x-amz-content-sha256;x-amz-date",
    )  # fmt: skip
    assert found == "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"


async def test_an_object_comes_by_a_signed_request_and_only_once(session, staging, store, request_for):
    got = await fetched(request_for, session, staging)
    assert staging.read_bytes() == LIST
    again = await fetched(replace(request_for, etag=got.etag), session, staging)
    assert again.not_modified
    store.objects[KEY] = LIST * 2
    got = await fetched(replace(request_for, etag=got.etag), session, staging)
    assert got.bytes == 2 * len(LIST)
    assert len(store.asked) == 3


async def test_temporary_credentials_sign_their_token_along(session, staging, store, request_for, tmp_path):
    store.token = "FwoGZXIvYXdzEXAMPLE=="
    with pytest.raises(FeedTransportError, match="403"):
        await fetched(request_for, session, staging)
    (tmp_path / "token").write_text(store.token)
    request = replace(request_for, store=replace(request_for.store, session_token_file=tmp_path / "token"))
    await fetched(request, session, staging)
    assert staging.read_bytes() == LIST


@pytest.mark.parametrize("wrong", ["id", "secret", "region", "nothing"])
async def test_whoever_signs_wrongly_gets_nothing(session, staging, store, request_for, tmp_path, wrong):
    where = request_for.store
    if wrong in ("id", "secret"):
        (tmp_path / wrong).write_text("geheim")
    elif wrong == "region":
        where = replace(where, region="us-east-1")
    else:
        where = replace(where, access_key_file=None, secret_key_file=None)
    with pytest.raises(FeedTransportError, match=r"feed police \(s3://police-lists/.*403") as caught:
        await fetched(replace(request_for, store=where), session, staging)
    assert "geheim" not in str(caught.value) and SECRET not in str(caught.value)


async def test_an_open_bucket_is_asked_without_a_signature(session, staging, store, request_for):
    store.keys = {}
    where = replace(request_for.store, access_key_file=None, secret_key_file=None)
    await fetched(replace(request_for, store=where), session, staging)
    assert "Authorization" not in store.asked[0].headers


async def test_a_cut_object_is_taken_up_again_with_a_new_signature(
    publisher, session, staging, store, request_for
):
    body = b"md5\n" + b"".join(b"%032x\n" % n for n in range(2, 5000))
    store.objects[KEY] = body
    etag = (await fetched(request_for, session, staging)).etag
    publisher.staging = staging
    publisher.answers = [publisher.cut(body, 70_000, f"ETag: {etag}"), store.answer]
    got = await fetched(request_for, session, staging)
    assert staging.read_bytes() == body
    assert got.traffic.resumed == 1


async def test_the_signature_does_not_follow_a_redirect(publisher, session, staging, store, request_for):
    """A wrong region is answered with a redirect to another host."""
    publisher.answers = [text(307, b"", Location=f"http://localhost:{publisher.port}/elsewhere"), text()]
    with pytest.raises(FeedTransportError, match="another host"):
        await fetched(request_for, session, staging)
    publisher.answers = [text(307, b"", Location=f"http://localhost:{publisher.port}/elsewhere"), text()]
    await fetched(replace(request_for, allowed_hosts=("localhost",)), session, staging)
    signed = ["Authorization" in r.headers for r in publisher.requests]
    assert signed == [True, True, False]
    assert "X-Amz-Date" not in publisher.requests[-1].headers


@pytest.mark.parametrize(
    ("url", "store", "address"),
    [
        ("s3://police/a/b.json", ObjectStore(), "https://police.s3.us-east-1.amazonaws.com/a/b.json"),
        ("s3://my.police/a b", ObjectStore(), "https://s3.us-east-1.amazonaws.com/my.police/a%20b"),
        ("s3://police/é+~x", ObjectStore("https://o.example/"), "https://o.example/police/%C3%A9%2B~x"),
        ("s3://police/a%2Fb", ObjectStore("https://o.example:9000"), "https://o.example:9000/police/a/b"),
        ("https://h.example/a%20b", ObjectStore(), "https://h.example/a%20b"),
    ],
)
def test_where_an_object_is(url: str, store: ObjectStore, address: str) -> None:
    assert locate(url, store) == address


@pytest.mark.parametrize(
    ("url", "region"),
    [("s3://police", "x"), ("s3://police/", "x"), ("s3:///a", "x"), ("s3://u:p@police/a", "x"),
     ("s3://Police/a", "x"), ("s3://-police/a", "x"),
     ("s3://police/a?versionId=1", "x"), ("s3://../a", "x"), ("s3://police/a", "evil.example/#")],
)  # fmt: skip
async def test_what_names_no_object_is_refused(session, staging, url: str, region: str) -> None:
    with pytest.raises(FeedTransportError, match=r"names no object|region"):
        await fetched(FetchRequest("f", url, store=ObjectStore(region=region)), session, staging)


async def test_without_the_library_it_says_what_to_install(
    session, staging, request_for, monkeypatch
) -> None:
    monkeypatch.setitem(sys.modules, "botocore.auth", None)
    with pytest.raises(ConfigError, match=r"hostsweep\[s3\]"):
        await fetched(request_for, session, staging)


async def test_plain_http_to_another_store_is_refused(session, staging, request_for) -> None:
    store = replace(request_for.store, endpoint="http://objects.example")
    with pytest.raises(FeedTransportError, match="http:// from another machine"):
        await fetched(replace(request_for, store=store), session, staging)
    with pytest.raises(FeedTransportError, match="https:// only"):  # insecure or not: no signature goes there
        await fetched(replace(request_for, store=store, insecure=True), session, staging)


def test_a_secret_is_nowhere_in_what_is_signed(request_for: FetchRequest) -> None:
    sign = signer(request_for.store)
    assert sign is not None
    headers = sign("GET", URL("https://o.example/police/a"))
    assert set(headers) == {"X-Amz-Date", "X-Amz-Content-SHA256", "Authorization"}
    assert SECRET not in str(headers)


async def test_what_lies_beside_an_object_is_asked_for_with_a_signature(session, store, request_for):
    """As a detached signature does: by the object's address and a suffix."""
    store.objects[f"{KEY}.minisig"] = b"untrusted comment: ..."
    opened = await asyncio.to_thread(Opened.for_request, request_for)
    client = HttpClient(request_for, session, opened, policy=QUICK, sleep=Waits())
    assert (await client.get(f"{request_for.url}.minisig")).body == b"untrusted comment: ..."
    with pytest.raises(FeedTransportError, match="404"):
        await client.get("s3://police-lists/other")


async def test_the_confined_process_signs_with_keys_and_reads_folders_that_are_closed_to_it(
    store, request_for, tmp_path
) -> None:
    """It is nobody by then, where the tests run as root, and has no files."""
    user = (65534, 65534) if os.geteuid() == 0 else None
    processes = FeedProcesses(FeedLimits(user, 1 << 30, 60.0), SystemIds())
    (work := tmp_path / "work").mkdir(mode=0o700)
    fetched = await processes.fetch(request_for, work, tmp_path / "from-store")
    assert (tmp_path / "from-store").read_bytes() == LIST
    assert (fetched.traffic.requests, fetched.traffic.received) == (1, len(LIST))
    (folder := tmp_path / "drop").mkdir(mode=0o700)
    (folder / "a.csv").write_bytes(LIST)
    os.utime(folder / "a.csv", (1, 1))
    request = FetchRequest("f", f"{folder.as_uri()}/", now_ns=10**18)
    fetched = await processes.fetch(request, work, tmp_path / "from-folder")
    assert (tmp_path / "from-folder").read_bytes() == LIST
    again = await processes.fetch(replace(request, etag=fetched.etag), work, tmp_path / "again")
    assert again.not_modified
