"""Work goes on beside its caller, who does some of it instead of waiting, and nothing of it is lost."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from airflow_provider_ddbexport.core.snapshot.background import Background
from airflow_provider_ddbexport.core.snapshot.parquet_part import open_part

PATIENCE_S = 600


def test_who_waits_does_some_of_the_work() -> None:
    """Each of the two tasks ends only when the other has begun; what comes of them is in their order."""
    together = threading.Barrier(2)
    threads: list[int] = []
    found: list[list[str]] = []

    def do(task: str) -> str:
        together.wait(PATIENCE_S)
        threads.append(threading.get_ident())
        return task.upper()

    with Background() as background:
        for tasks in ("ab", "cd"):
            background.do(lambda tasks=tasks: found.append(background.each(do, tasks)))
            background.wait()
    assert found == [["A", "B"], ["C", "D"]]
    assert set(threads[:2]) == set(threads[2:]) == {threading.get_ident(), *threads[:2]}
    assert len(set(threads)) == 2


def test_work_ends_though_nobody_waits_for_it() -> None:
    """It needs no help; the next piece does not begin before it has ended, and has nothing to do with it."""
    found: list[list[int]] = []
    with Background() as background:
        for first in (0, 3):
            background.do(lambda first=first: found.append(background.each(lambda task: task, range(first, first + 3))))
        background.do(lambda: found.append(background.each(lambda task: task, ())))
    assert found == [[0, 1, 2], [3, 4, 5], []]


@pytest.mark.parametrize("failing", ["a", "b", "ab"])
def test_what_one_of_them_raises_is_raised_to_who_waits(failing: str) -> None:
    """Whichever of the two threads it was in."""
    together = threading.Barrier(2)
    begun = threading.local()

    def do(task: str) -> None:
        if not hasattr(begun, "once"):
            begun.once = True
            together.wait(PATIENCE_S)
        if task in failing:
            raise ValueError("no")

    with Background() as background:
        background.do(lambda: background.each(do, "ab") and None)
        with pytest.raises(ValueError, match="no"):
            background.wait()


def test_what_a_signal_keeps_who_waits_from_doing_is_done_all_the_same() -> None:
    """Ctrl-C in what it helps with goes to the caller; the work behind it ends, so that its file can be closed."""
    helper = threading.get_ident()
    both = threading.Barrier(2)
    times: list[str] = []
    found: list[list[str]] = []

    def do(task: str) -> str:
        times.append(task)
        if len(times) <= 2:
            both.wait(PATIENCE_S)
            if threading.get_ident() == helper:
                raise KeyboardInterrupt
        return task.upper()

    with Background() as background:
        background.do(lambda: found.append(background.each(do, "abcd")))
        with pytest.raises(KeyboardInterrupt):
            background.wait()
    assert found == [["A", "B", "C", "D"]]
    assert sorted(times[:2]) == ["a", "b"]
    assert len(times) == 5


@pytest.mark.parametrize("sort_by", [(), ("id",)], ids=["as they come", "sorted"])
def test_parts_have_the_same_bytes_whoever_encodes_their_columns(tmp_path: Path, sort_by: tuple[str, ...]) -> None:
    """All columns of row groups that are encoded by two threads at once, the one that waits among them."""
    batches = [
        pa.record_batch({
            "id": pa.array(range(start, start + 500)),
            "text": pa.array([f"{number * 7919 % 1000}" * (number % 50) for number in range(500)]),
            "kind": pa.array([None if number % 3 else "kind" for number in range(500)]),
            "tags": pa.array([[str(number % 5), "x"] for number in range(500)]),
            "details": pa.array([{"a": number % 4, "b": {"c": None}} for number in range(500)]),
        })
        for start in (500, 0)
    ]  # fmt: skip
    threads: set[int] = set()

    def written(path: Path, background: Background) -> bytes:
        def each(do: Callable[[object], object], tasks: object) -> list[object]:
            together = threading.Barrier(2)
            waited: set[int] = set()

            def did(task: object) -> object:
                if threading.get_ident() not in waited:
                    # Else one of the threads might do all of it.
                    waited.add(threading.get_ident())
                    together.wait(PATIENCE_S)
                    threads.add(threading.get_ident())
                return do(task)

            return background.each(did, tasks)  # type: ignore[arg-type]

        part = open_part(path, batches[0].schema, sort_by, each=each)  # type: ignore[arg-type]
        for batch in batches:
            background.do(lambda batch=batch: part.write(batch))
            background.wait()
        background.do(part.finish)
        background.wait()
        return path.read_bytes()

    alone = open_part(tmp_path / "alone", batches[0].schema, sort_by)
    for batch in batches:
        alone.write(batch)
    alone.finish()
    with Background() as background:
        assert written(tmp_path / "together", background) == (tmp_path / "alone").read_bytes()
    assert len(threads) == 2
