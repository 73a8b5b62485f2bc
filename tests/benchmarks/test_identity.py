"""What the benchmarks convert comes back from the snapshot: `make bench-identity` says so of large exports."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from convert.corpora import make_corpus, repeated
from convert.identity import exported, fingerprint, restored, restored_by_shell, settings
from convert.items import CORPORA

from airflow_provider_ddbexport.core.export import read_export, verify_export
from airflow_provider_ddbexport.core.store import LocalStore


@pytest.mark.parametrize("name", CORPORA)
def test_every_corpus_comes_back_whatever_the_options(name: str, tmp_path: Path) -> None:
    """Converting and restoring is the identity on each of the benchmark's exports, for every option."""
    corpus = make_corpus(name, tmp_path, 0)
    wanted = exported(corpus)
    assert wanted[0] == corpus.items == 200
    for number, (words, arguments) in enumerate(settings(corpus).items()):
        assert restored(corpus, arguments, tmp_path / str(number)) == wanted, words


def test_the_shell_gives_back_what_it_converted(tmp_path: Path) -> None:
    """``ddbexport items`` after ``ddbexport convert``, as two processes."""
    corpus = make_corpus("late-type", tmp_path, 0)
    assert restored_by_shell(corpus, tmp_path / "lake") == exported(corpus)


@pytest.mark.parametrize(
    "other",
    [
        [{"n": {"N": "1"}}],
        [{"n": {"N": "1"}}, {"s": {"SS": ["a", "b"]}}, {"s": {"SS": ["a", "b"]}}],
        [{"n": {"N": "1.5"}}, {"s": {"SS": ["a", "b"]}}],
        [{"n": {"N": "1." + "0" * 36 + "1"}}, {"s": {"SS": ["a", "b"]}}],
        [{"n": {"S": "1"}}, {"s": {"SS": ["a", "b"]}}],
        [{"n": {"N": "1"}}, {"s": {"L": [{"S": "a"}, {"S": "b"}]}}],
    ],
    ids=["one lost", "one twice", "another value", "another last digit", "another type", "a set became a list"],
)
def test_other_items_have_another_fingerprint(other: list[dict[str, Any]]) -> None:
    """The comparison can fail; only the order, the spelling of numbers and that of sets do not count."""
    given = [{"n": {"N": "1"}}, {"s": {"SS": ["a", "b"]}}]
    assert fingerprint(lines(given)) == fingerprint(lines([{"s": {"SS": ["b", "a"]}}, {"n": {"N": "1.0"}}]))
    assert fingerprint(lines(given)) != fingerprint(lines(other))


def lines(items: list[dict[str, Any]]) -> list[bytes]:
    """Return the lines of an export of *items*."""
    return [json.dumps({"Item": item}).encode() for item in items]


def test_an_export_that_grew_is_whole(tmp_path: Path) -> None:
    """It has its items as often as it was told, in files that are all different."""
    corpus = repeated(make_corpus("reviews", tmp_path, 0), 3, tmp_path / "grown")
    root = LocalStore(corpus.root)
    export = read_export(root, corpus.data_files[0].parents[1].name)
    assert verify_export(root, export).items == corpus.items == 600
    assert len({file.md5 for file in export.files}) == len(export.files) == 24
