"""Bands of distances: read in every form, and refused where one never holds or turns things over."""

from __future__ import annotations

from pathlib import Path

import pytest

from scanner.app.terms import terms_of
from scanner.config import Config, load, to_yaml
from scanner.model.errors import ConfigError
from scanner.model.feeds import ALL_REPORTED, ALL_SECURED, Band


def read(tmp_path: Path, perceptual: str, rest: str = "") -> Config:
    path = tmp_path / "config.yaml"
    path.write_text(
        f"feeds:\n  - name: police\n    url: https://h.example/l\n    on_match:\n"
        f"      perceptual: {perceptual}\n{rest}"
    )
    return load(path)


def bands(config: Config) -> tuple[Band, ...]:
    return terms_of(config.feeds[0]).bands


def refusal(tmp_path: Path, perceptual: str, rest: str = "") -> str:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, perceptual, rest)
    return str(caught.value).replace(f"{tmp_path}/config.yaml:5: feeds[0].on_match.perceptual", "")


def test_one_word_is_one_band_without_limits_and_is_shown_as_the_word(tmp_path: Path) -> None:
    assert bands(read(tmp_path, "report")) == ALL_REPORTED
    assert bands(read(tmp_path, "quarantine")) == ALL_SECURED
    assert "perceptual: report\n" in to_yaml(read(tmp_path, "report"))


def test_bands_arrive_in_their_order_with_their_limits_and_read_back(tmp_path: Path) -> None:
    config = read(
        tmp_path,
        "[{max_distance: 16, action: quarantine, kind: pdq, min_quality: 70, views: [whole, turned]},"
        " {max_distance: 31, action: report}]",
    )
    whole = frozenset({"whole", "turned"})
    assert bands(config) == (Band(True, 16, "pdq", 70, whole), Band(False, 31))
    (tmp_path / "shown.yaml").write_text(to_yaml(config))
    assert load(tmp_path / "shown.yaml") == config


@pytest.mark.parametrize(
    ("perceptual", "told"),
    [
        ("maybe", ": expected quarantine, report or a list of bands, found 'maybe'"),
        ("[]", ": expected quarantine, report or a list of bands, found a list"),
        ("[{max_distance: 9}]", "[0].action: this key is required"),
        (
            "[{max_distance: 9, action: delete}]",
            "[0].action: expected 'quarantine' or 'report', found 'delete'",
        ),
        ("[{max_distanc: 9, action: report}]", "[0].max_distanc: unknown key; did you mean max_distance?"),
        (
            "[{action: report, kind: sha256}]",
            "[0].kind: expected one of pdq, phash, dhash, phash256, found 'sha256'",
        ),
        (
            "[{action: report, views: [upright]}]",
            "[0].views[0]: expected one of whole, box, tilt, wide, crop, other, turned, frame, embedded, "
            "preview, found 'upright'",
        ),
        (
            "[{action: report, views: [turned]}]",
            "[0].views: expected at least one of whole, box, tilt, wide, crop, other among them",
        ),
        (
            "[{max_distance: 31, action: quarantine}, {max_distance: 16, action: report}]",
            "[1]: this band is never reached: band 1 (up to 31) decides before it; write bands in ascending "
            "order of max_distance",
        ),
        (
            "[{action: quarantine}, {max_distance: 16, action: report, kind: phash256, views: [box]}]",
            "[1]: this band is never reached: band 1 decides before it; write bands in ascending order of "
            "max_distance",
        ),
        (
            "[{max_distance: 16, action: report}, {max_distance: 31, action: quarantine}]",
            "[1]: this would secure matches that are further than those which band 1 (up to 16) only "
            "reports; the nearer one is the surer",
        ),
        (
            "[{min_quality: 70, action: report}, {action: quarantine}]",
            "[1]: this would secure matches of less quality than those which band 1 only reports "
            "(min_quality 70); the better one is the surer",
        ),
        (
            "[{max_distance: 40, action: quarantine}]",
            "[0].max_distance: expected at most 31, which is matching.pdq.max_distance: nothing further is "
            "a match, found 40",
        ),
        (
            "[{max_distance: 7, kind: phash, action: quarantine}]",
            "[0].max_distance: expected at most 6, which is matching.phash.max_distance: nothing further is "
            "a match, found 7",
        ),
    ],
)
def test_bands_that_can_not_be_meant_are_refused_in_a_sentence(
    tmp_path: Path, perceptual: str, told: str
) -> None:
    assert refusal(tmp_path, perceptual) == told


def test_a_band_may_reach_as_far_as_matching_is_configured_to(tmp_path: Path) -> None:
    band = "[{max_distance: 24, kind: pdq, action: report}]"
    assert read(tmp_path, band, "matching: {pdq: {max_distance: 24}}\n")
    assert "matching.pdq.max_distance" in refusal(tmp_path, band, "matching: {pdq: {max_distance: 20}}\n")


@pytest.mark.parametrize(
    "perceptual",
    [
        # The same distance twice, and a shorter one after a longer: each decides about something of its own.
        "[{max_distance: 24, views: [whole], action: quarantine}, {max_distance: 24, action: report}]",
        "[{max_distance: 31, min_quality: 90, action: quarantine}, {max_distance: 16, action: quarantine}]",
        "[{views: [tilt, crop], action: report}, {max_distance: 31, action: quarantine}]",
        "[{kind: phash, action: report}, {max_distance: 31, action: quarantine}]",
        "[{kind: phash, max_distance: 2, action: report}, {kind: pdq, max_distance: 16, action: quarantine}]",
    ],
)
def test_bands_with_limits_of_their_own_may_come_in_any_order(tmp_path: Path, perceptual: str) -> None:
    assert read(tmp_path, perceptual)
