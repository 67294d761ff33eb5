"""Every fuzz target over its corpus, what once broke it, and some mutations: a smoke run, without atheris."""

from __future__ import annotations

from pathlib import Path

import pytest
from fuzzing import CORPUS, REGRESSIONS, inputs_in, load, mutations, target_names

_MUTATIONS = 150  # of each target: all of them together take some five seconds


@pytest.mark.parametrize("name", target_names())
def test_every_law_holds_near_the_corpus(name: str) -> None:
    target = load(name)
    seeds = [path.read_bytes() for path in inputs_in(CORPUS / name)]
    assert seeds
    for data in [*seeds, *mutations(seeds, target.words, _MUTATIONS, seed=1)]:
        target.check(data[: target.max_length])


@pytest.mark.parametrize("path", inputs_in(REGRESSIONS, "*/*"), ids=lambda p: f"{p.parent.name}-{p.name}")
def test_what_once_broke_a_law_does_so_no_more(path: Path) -> None:
    load(path.parent.name).check(path.read_bytes())


@pytest.mark.parametrize("name", target_names())
def test_every_seed_is_in_the_corpus(name: str) -> None:
    """By name: encoders and compressors write other bytes with every version of theirs."""
    assert {path.name for path in inputs_in(CORPUS / name)} == set(load(name).seeds())


def test_corpus_and_regressions_belong_to_targets() -> None:
    assert {p.name for p in (*CORPUS.iterdir(), *REGRESSIONS.iterdir())} <= set(target_names())
