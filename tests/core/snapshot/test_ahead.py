"""A few requests are under way at once, and their answers come in order."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from snapshot_exports import write_export
from watched_store import Steps, WatchedStore

from airflow_provider_ddbexport.core.snapshot.ahead import AT_ONCE, asked_ahead
from airflow_provider_ddbexport.core.snapshot.sample import sample_export
from airflow_provider_ddbexport.errors import StorageError

PATIENCE_S = 600


def test_as_many_are_asked_at_once_as_may_be() -> None:
    """Each answer waits for those asked with it, so that they come only together; they come in order."""
    together = threading.Barrier(AT_ONCE)

    def ask(number: int) -> int:
        together.wait(PATIENCE_S)
        return number

    assert list(asked_ahead(ask, range(3 * AT_ONCE))) == list(range(3 * AT_ONCE))


def test_answers_do_not_pile_up() -> None:
    """Whoever takes one answer has only so many asked for."""
    asked: list[int] = []
    answers = asked_ahead(asked.append, range(100))
    for taken in range(100):
        next(answers)
        assert len(asked) <= taken + AT_ONCE


def test_what_cannot_be_answered_is_raised_in_its_place() -> None:
    """The answers before it come first."""

    def ask(number: int) -> int:
        if number == 3:
            raise StorageError("reading failed")
        return number

    answers = asked_ahead(ask, range(5))
    assert [next(answers) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(StorageError):
        next(answers)


def test_a_sample_is_the_same_whether_its_files_are_asked_for_at_once_or_not(tmp_path: Path) -> None:
    """Local ones are read one after the other; of what wraps a store nothing is known."""
    items = [{"id": {"N": str(number)}, f"a{number % 7}": {"S": "x"}} for number in range(40)]
    root, export = write_export(tmp_path, items, files=20)
    steps = Steps()
    sampled = sample_export(root, export)
    assert sample_export(WatchedStore(root, steps), export) == sampled
    assert len(steps.log) == 16
    assert 0 < sampled.items < 40
