"""One listed picture, kept in every form: `hostsweep scan` finds each."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from e2e_host import Host

from tests.forms import forms, saved, scene, with_thumbnail

LISTED, OTHER = scene(1), scene(2)


def list_of(host: Host, name: str = "list.csv") -> Path:
    """A list with the PDQ of the picture that was never saved here in the forms below."""
    original = host.base / "original.png"
    LISTED.save(original)
    checked = json.loads(host.run("check", str(original), "--json").out)
    return host.list_of(f"pdq,id\n{checked['perceptual'][0]['value']},p1\n", name)


def test_a_listed_picture_is_found_in_every_form_and_told_by_which_part(host: Host) -> None:
    made = forms(LISTED, OTHER)
    for name, (content, _) in made.items():
        (host.tree / name).write_bytes(content)
    (host.tree / "other.jpg").write_bytes(saved(OTHER, "JPEG"))
    outcome = host.scan("--feed", list_of(host))
    assert outcome.code == 1
    assert {Path(hit["path"]).name for hit in outcome.hits} == set(made)
    assert outcome.summary["complete"] is True and outcome.summary["clean"] == 1
    for name in ("film.gif", "png+jpeg.png", "drawing.svg", "raw.cr3"):
        checked = json.loads(host.run("check", str(host.tree / name), "--json").out)
        part = made[name][1]
        assert any(h["view"].startswith(f"{part}.") for h in checked["perceptual"])


@pytest.mark.long
def test_a_truncated_copy_is_found_and_another_truncated_picture_is_not_clean(host: Host) -> None:
    feed = list_of(host)
    whole, other = saved(LISTED, "JPEG"), saved(OTHER, "JPEG")
    (host.tree / "other.jpg").write_bytes(other[: len(other) * 9 // 10])
    outcome = host.scan("--feed", feed)
    assert outcome.code == 3 and outcome.summary["failed"] == {"truncated": 1}
    assert outcome.summary["clean"] == 0 and outcome.summary["complete"] is False
    (host.tree / "copy.jpg").write_bytes(whole[: len(whole) * 97 // 100])
    outcome = host.scan("--feed", feed)
    assert outcome.code == 1 and [Path(hit["path"]).name for hit in outcome.hits] == ["copy.jpg"]
    assert outcome.hits[0]["digests"]["sha256"] == hashlib.sha256(whole[: len(whole) * 97 // 100]).hexdigest()


@pytest.mark.long
def test_a_new_list_meets_what_was_decoded_in_part_without_reading_it_again(host: Host) -> None:
    whole = saved(LISTED, "JPEG")
    (host.tree / "copy.jpg").write_bytes(whole[: len(whole) * 97 // 100])
    host.until_old()
    assert host.scan("--feed", host.list_of("ab" * 16 + "\n")).code == 3
    outcome = host.scan("--feed", list_of(host))
    assert outcome.code == 1 and outcome.summary["hashed"] == 0 and len(outcome.hits) == 1


@pytest.mark.long
def test_more_pictures_than_are_looked_at_are_told_and_a_drawing_of_lines_is_clean(host: Host) -> None:
    small = saved(OTHER.resize((64, 64)), "JPEG")
    (host.tree / "many.jpg").write_bytes(saved(OTHER, "JPEG") + small * 30)
    (host.tree / "lines.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg"><path d="M0 0L9 9"/></svg>')
    (host.tree / "camera.jpg").write_bytes(with_thumbnail(saved(OTHER, "JPEG"), small))
    outcome = host.scan("--feed", list_of(host))
    assert outcome.code == 3 and outcome.summary["failed"] == {"partial": 1}
    assert outcome.summary["clean"] == 2
