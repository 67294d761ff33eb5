"""Every fuzz target over its corpus, over what once broke it, and near the corpus under hypothesis."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from fuzzing import CORPUS, REGRESSIONS, inputs_in, load, target_names
from hypothesis import given, settings
from hypothesis import strategies as st

# Examples of each target: all of them together take some ten seconds. Longer runs are `make fuzz`.
SMOKE = settings(max_examples=100, deadline=None)
TOKENS = (b"\0", b"\xff" * 8, b"\n", b"0", "\u202e".encode(), b"{", b"[[", b'"')


def corpus(name: str) -> list[bytes]:
    return [path.read_bytes() for path in inputs_in(CORPUS / name)]


def near(seeds: Sequence[bytes], words: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """Inputs of the corpus, each with some pieces of it replaced."""
    pieces = st.binary(max_size=8) | st.sampled_from([*words, *TOKENS]) | st.sampled_from(seeds)
    edits = st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 16), pieces), min_size=1, max_size=4)
    return st.builds(_edited, st.sampled_from(seeds), edits)


def _edited(seed: bytes, edits: Sequence[tuple[int, int, bytes]]) -> bytes:
    for place, dropped, piece in edits:
        at = place % (len(seed) + 1)
        seed = seed[:at] + piece + seed[at + dropped :]
    return seed


@pytest.mark.parametrize("name", target_names())
def test_every_law_holds_for_the_corpus(name: str) -> None:
    seeds = corpus(name)
    assert seeds
    for data in seeds:
        load(name).check(data)


@pytest.mark.parametrize("name", target_names())
def test_every_law_holds_near_the_corpus(name: str) -> None:
    target = load(name)

    @SMOKE
    @given(near(corpus(name), target.words))
    def holds(data: bytes) -> None:
        target.check(data[: target.max_length])

    holds()


@pytest.mark.parametrize("path", inputs_in(REGRESSIONS, "*/*"), ids=lambda p: f"{p.parent.name}-{p.name}")
def test_what_once_broke_a_law_does_so_no_more(path: Path) -> None:
    load(path.parent.name).check(path.read_bytes())


@pytest.mark.parametrize("name", target_names())
def test_every_seed_is_in_the_corpus(name: str) -> None:
    """By name: encoders and compressors write other bytes with every version of theirs."""
    assert {path.name for path in inputs_in(CORPUS / name)} == set(load(name).seeds())


def test_corpus_and_regressions_belong_to_targets() -> None:
    assert {p.name for p in (*CORPUS.iterdir(), *REGRESSIONS.iterdir())} <= set(target_names())
