"""The guard's judgement, which is a pure function; and the files it knows to be harmless."""

from __future__ import annotations

import base64
import hashlib
import io

import pytest
from PIL import Image

from scanner.feeds.checks import admit, refusal
from scanner.feeds.guard import Figures, Terms, benign_allowed, judge
from scanner.feeds.harmless import one_pixel_pictures
from scanner.model.feeds import ImportCounts


def figures(entries: int, **more: object) -> Figures:
    return Figures(entries, {"md5": entries}, records=entries, digests=entries, **more)  # type: ignore[arg-type]


def checks(new: Figures, old: Figures | None = None, **terms: object) -> list[str]:
    return [f.check for f in judge(new, old, Terms(**terms))]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("new", "old", "terms", "found"),
    [
        (figures(5), None, {}, []),
        (figures(5), None, {"min_entries": 6}, ["min_entries"]),
        (figures(6), None, {"min_entries": 6}, []),
        (figures(7), None, {"max_entries": 6}, ["max_entries"]),
        (figures(100), figures(1000), {}, []),
        (figures(99), figures(1000), {}, ["shrink", "shrink"]),  # entries and hashes
        (figures(600), figures(1000), {"max_shrink": 0.3}, ["shrink", "shrink"]),
        # A list may grow as it likes while it is small, and tenfold then.
        (figures(9_000), figures(3), {}, []),
        (figures(200_000), figures(20_000), {}, []),
        (figures(200_001), figures(20_000), {}, ["growth", "growth"]),
        (figures(50_000), figures(20_000), {"max_growth": 2.0}, ["growth", "growth"]),
        (figures(200_001), None, {}, []),  # the first list has nothing to be compared with
        (figures(100, malformed=1), None, {"max_malformed": 0.01}, []),
        (figures(100, malformed=2), None, {"max_malformed": 0.01}, ["malformed"]),
        (figures(500, repeats={"pdq": 10}), None, {}, []),
        (figures(500, repeats={"pdq": 11}), None, {}, ["repeats"]),
        # A popular picture stands in a large list in many encodings.
        (figures(100_000, repeats={"pdq": 100}), None, {}, []),
        (figures(100_000, repeats={"pdq": 101}), None, {}, ["repeats"]),
        (figures(30, benign={"one": 1}), None, {}, []),
        (figures(30, benign={"one": 1, "other": 1}), None, {}, ["benign"]),
        (figures(1000, benign={"one": 20}), None, {}, []),
        (figures(1000, benign={"one": 21}), None, {}, ["benign"]),
        (figures(100_000, benign={"one": 100}), None, {}, []),
        (figures(100_000, benign={"one": 101}), None, {}, ["benign"]),
        (figures(5, vetoes={"police": (1, 40)}), None, {}, []),
        (figures(5, vetoes={"police": (2, 40)}), None, {}, ["vetoes"]),
        (figures(5, canaries_missing=("md5",)), None, {}, ["canary"]),
    ],
)
def test_each_check_lets_pass_up_to_its_bound_and_refuses_beyond(
    new: Figures, old: Figures | None, terms: dict[str, object], found: list[str]
) -> None:
    assert checks(new, old, **terms) == found


def test_what_is_benign_and_allowed_grows_with_the_list_and_is_never_none() -> None:
    assert [benign_allowed(n, 0.001) for n in (1, 100, 1000, 20_000, 1_000_000)] == [1, 2, 20, 20, 1000]


def test_several_findings_are_told_together_with_figures_and_no_value() -> None:
    new = figures(5, canaries_missing=("sha256",), malformed=4, first_malformed="line 3: too short")
    found = judge(new, figures(1000), Terms())
    assert {f.check for f in found} == {"shrink", "malformed", "canary"}
    assert any("5 entries where the one in use has 1,000" in f.what for f in found)
    assert any("line 3: too short" in f.what for f in found)


# Data: URIs as they stand in thousands of pages, and MD5s that web servers' spacers are known by.
KNOWN = (
    "R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7",
    "R0lGODlhAQABAIAAAP///wAAACH5BAEAAAAALAAAAAABAAEAAAICRAEAOw==",
    "R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw==",
    "R0lGODlhAQABAAD/ACwAAAAAAQABAAACADs=",
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAAC0lEQVR42mNgAAIAAAUAAen63NgAAAAASUVORK5CYII=",
)
MD5S = (
    "325472601571f31e1bf00674c368d335",
    "ad4b0f606e0f8465bc4c4c170b37e1a3",
    "d89746888da2d9510b64a9f031eaecd5",
)


def test_spacers_that_everybody_has_are_known_and_are_pictures_of_one_pixel() -> None:
    made = set(one_pixel_pictures())
    assert {base64.b64decode(text) for text in KNOWN} <= made
    assert set(MD5S) <= {hashlib.md5(content).hexdigest() for content in made}
    sizes = {Image.open(io.BytesIO(content)).size for content in made}
    assert sizes == {(1, 1)}


def test_a_spacer_is_left_out_of_a_list_and_counted() -> None:
    counts, content = ImportCounts(), base64.b64decode(KNOWN[0])
    pairs = [(kind, hashlib.new(kind, content).digest()) for kind in ("md5", "sha1", "sha256")]
    assert admit(pairs, "1", "1", counts) is None
    assert counts.refused == {"one_pixel": 3} and counts.entries == 0
    assert refusal("md5", hashlib.md5(b"something else").digest()) is None
