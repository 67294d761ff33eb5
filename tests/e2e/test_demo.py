"""The demo is the first thing anybody runs, and the whole way in one: it must do all that it says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[subprocess.CompletedProcess[str], Path]:
    temporary = tmp_path_factory.mktemp("demo")
    done = subprocess.run(
        [sys.executable, "-m", "demo"],
        cwd=CHECKOUT,
        env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": str(temporary), "TMPDIR": str(temporary)},
        capture_output=True,
        text=True,
        timeout=180,
    )
    return done, temporary


def test_everything_in_the_demo_happens_as_it_has_to(told):
    done, _ = told
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WRONG" not in done.stdout
    assert "expectations held." in done.stdout.splitlines()[-1]


def test_the_demo_shows_the_ways_a_picture_is_found_and_what_became_of_the_files(told):
    out = told[0].stdout
    assert "quarantined /srv/www/bob/public_html/notes.txt  [police SYN-1001, 1; sha256]" in out
    assert "pdq, distance" in out
    assert "summer\\x0aparty" in out and "caf\\xe9 \\xff.gif" in out
    assert "police: not modified, 5,005 entries." in out
    assert "(9 secured, 0 still in place)" in out
    assert "0 items" not in out and "ledger: in order" in out


def test_the_demo_leaves_nothing_behind_and_looks_well_in_a_pipe(told):
    done, temporary = told
    assert list(temporary.iterdir()) == []
    assert "\x1b" not in done.stdout


def test_an_expectation_that_fails_ends_the_demo_with_a_sentence_and_an_exit_code():
    program = (
        "from pathlib import Path; from demo.stage import Stage; s = Stage(Path('.'));"
        "s.claim('water is wet', True); s.claim('water is dry', False); raise SystemExit(not s.verdict())"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=CHECKOUT, capture_output=True, text=True)
    assert done.returncode == 1
    assert "WRONG  water is dry" in done.stdout
    assert "The demo failed: 1 of 2 expectations did not hold" in done.stdout
