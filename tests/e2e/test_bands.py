"""Pictures that only look like listed ones: acted on by bands of distance, and told as what they are."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from e2e_host import Host, picture
from PIL import ImageOps


def values(host: Host, path: Path) -> list[str]:
    return [p["value"] for p in json.loads(host.run("check", str(path), "--json").out)["perceptual"]]


def changed(value: str, bits: Sequence[int]) -> str:
    return f"{int(value, 16) ^ sum(1 << bit for bit in bits):064x}"


def configured(host: Host, feeds: str) -> Path:
    path = host.base / "config.yaml"
    path.write_text(f"volumes: [{{name: web, path: {host.tree}}}]\nfeeds:\n{feeds}")
    return path


def feed(host: Host, name: str, value: str, bands: str) -> str:
    url = "file://" + host.list_of(f"id,pdq\n{name}-1,{value}\n", f"{name}.csv")
    return f"  - {{name: {name}, url: '{url}', on_match: {{perceptual: {bands}}}}}\n"


def test_each_feeds_bands_decide_and_the_case_tells_by_what_it_matched(host: Host) -> None:
    near = host.save("alice/near.jpg", picture(5, 800, 600), quality=30)
    far = host.save("bob/far.jpg", picture(8, 800, 600))
    (near_value, *_), (far_value, *_) = values(host, near), values(host, far)
    bands = "[{max_distance: 16, kind: pdq, action: quarantine}, {max_distance: 31, action: report}]"
    config = configured(
        host,
        feed(host, "police", changed(near_value, range(6)), bands)
        + feed(host, "hotline", changed(far_value, range(0, 52, 2)), bands),
    )
    synced = host.run("feed", "sync", config=config)
    assert synced.code == 0, synced.err
    outcome = host.scan("--quarantine", config=config)
    hits = {Path(hit["path"]).name: hit for hit in outcome.hits}
    secured, reported = hits["near.jpg"], hits["far.jpg"]
    assert (secured["action"], reported["action"]) == ("quarantined", "reported")
    assert far.exists() and not near.exists()
    distance = secured["match"]["distance"]
    assert secured["reason"] == f"listed by a perceptual hash: distance {distance}, within 16"
    assert reported["reason"] == f"distance {reported['match']['distance']}: beyond 16, only reported"
    assert secured["perceptual_only"] and reported["perceptual_only"]
    for hit, feed_name, value in ((secured, "police", near_value), (reported, "hotline", far_value)):
        match = hit["match"]
        assert (match["feed"], match["kind"]) == (feed_name, "pdq") and match["quality"] >= 50
        assert match["views"] >= 1 and match["view"] and bytes.fromhex(match["value"])
        if match["view"] == "full":
            assert match["value"] == value

    listed = host.run("hits", "list", "--json", config=config).events
    assert {(c["id"], json.dumps(c["match"])) for c in listed} == {
        (h["id"], json.dumps(h["match"])) for h in outcome.hits
    }
    said = host.run("hits", "show", reported["id"], config=config).out
    match = reported["match"]
    assert f"distance {match['distance']} bits, view {match['view']}, quality {match['quality']}" in said
    assert "no list has a digest of the file itself" in said and match["value"] in said
    row = f"hotline pdq, distance {match['distance']}, {match['view']}, quality {match['quality']}"
    assert row in host.run("hits", "list", config=config).out


@pytest.mark.long
def test_a_view_that_no_band_names_is_only_reported(host: Host) -> None:
    path = host.save("alice/a.jpg", picture(3, 800, 600))
    listed = feed(host, "police", values(host, path)[0], "[{action: quarantine, views: [box]}]")
    config = configured(host, listed)
    synced = host.run("feed", "sync", config=config)
    assert synced.code == 0, synced.err
    outcome = host.scan("--quarantine", config=config)
    (hit,) = outcome.hits
    assert (hit["action"], hit["match"]["distance"]) == ("reported", 0)
    assert hit["reason"] == f"view {hit['match']['view']}: not among box, only reported"
    assert path.exists()


@pytest.mark.long
def test_a_mirrored_picture_is_only_reported_where_turned_views_may_not_act(host: Host) -> None:
    original = host.base / "original.png"
    picture(5, 800, 600).save(original)
    value = values(host, original)[0]
    mirrored = host.save("alice/a.jpg", ImageOps.mirror(picture(5, 800, 600)), quality=80)
    host.save("bob/again.jpg", picture(5, 800, 600), quality=30)
    bands = "[{max_distance: 16, views: [whole], action: quarantine}, {action: report}]"
    config = configured(host, feed(host, "police", value, bands))
    assert host.run("feed", "sync", config=config).code == 0
    hits = {Path(h["path"]).name: h for h in host.scan("--quarantine", config=config).hits}
    assert (hits["a.jpg"]["action"], hits["again.jpg"]["action"]) == ("reported", "quarantined")
    assert "not among whole, only reported" in hits["a.jpg"]["reason"] and mirrored.exists()
    assert hits["a.jpg"]["match"]["view"].endswith(".mirror") and hits["a.jpg"]["match"]["distance"] <= 16


def test_a_file_whose_digest_is_listed_is_no_matter_of_looks(host: Host) -> None:
    path = host.save("alice/a.jpg", picture(3, 800, 600))
    checked = json.loads(host.run("check", str(path), "--json").out)
    text = f"id,md5,pdq\n1,{checked['digests']['md5']},{checked['perceptual'][0]['value']}\n"
    (hit,) = host.scan("--feed", host.list_of(text, "list.csv")).hits
    assert hit["match"]["kind"] == "md5" and not hit["perceptual_only"]
    assert (hit["match"]["view"], hit["match"]["value"], hit["match"]["views"]) == ("", None, 0)


def test_bands_that_can_not_be_meant_are_told_by_config_check(host: Host) -> None:
    bands = "[{max_distance: 31, action: report}, {max_distance: 16, action: quarantine}]"
    outcome = host.run("config", "check", config=configured(host, feed(host, "police", "0f" * 32, bands)))
    assert outcome.code == 2
    assert "feeds[0].on_match.perceptual[1]: this band is never reached: band 1 (up to 31)" in outcome.err
