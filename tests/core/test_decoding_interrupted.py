"""A signal that arrives while lines are decoded ends the work, as it would in any other Python code."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from snapshot_exports import write_export

from airflow_provider_ddbexport.core import decoder
from airflow_provider_ddbexport.core.columns import ColumnOptions, Observation, Schema, resolve
from airflow_provider_ddbexport.core.compiled.loading import load
from airflow_provider_ddbexport.core.decode import Item, decode_line
from airflow_provider_ddbexport.core.decoder import block_builder, block_router
from airflow_provider_ddbexport.core.line_blocks import Lines, line_of
from airflow_provider_ddbexport.core.snapshot import convert_export
from airflow_provider_ddbexport.core.snapshot.layout import RECORDS_FOLDER
from airflow_provider_ddbexport.core.store import LocalStore

pytestmark = pytest.mark.skipif(decoder._kernel() is None, reason="there is no compiled decoder")

# More digits than C decides about.
ITEMS: list[Item] = [{"k": {"S": f"{n % 2}"}, "n": {"N": "0.30000000000000004"}} for n in range(8)]
LINES = b"".join(line_of(item) + b"\n" for item in ITEMS)


class TimeIsUp(BaseException):
    """What the handler raises."""


@pytest.fixture
def signalled(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Have an alarm go off in the fifth double that Python is asked about; yield one for each."""
    kernel = load("_kernel")
    assert kernel is not None
    asked: list[int] = []
    double = kernel._double

    def interrupted(text: str) -> float | None:
        asked.append(1)
        if len(asked) == 5:
            signal.raise_signal(signal.SIGALRM)
        answer: float | None = double(text)
        return answer

    def out_of_time(*_: object) -> None:
        raise TimeIsUp

    monkeypatch.setattr(kernel, "_double", interrupted)
    before = signal.signal(signal.SIGALRM, out_of_time)
    yield asked
    signal.signal(signal.SIGALRM, before)


def _schema(partition_by: tuple[str, ...] = ()) -> Schema:
    observation = Observation()
    for item in ITEMS:
        observation.add(item)
    return resolve(observation, ColumnOptions(numbers="double", partition_by=partition_by))


def build() -> Callable[[Lines], object]:
    builder = block_builder(decode_line, _schema())
    return lambda lines: builder.add_lines(lines, 0, most_rows=1 << 40, most_bytes=1 << 40)


def route() -> Callable[[Lines], object]:
    router = block_router(decode_line, _schema(("k",)), most_bytes=1 << 40)
    for key in "01":
        router.open((key,), 1 << 40)
    return lambda lines: router.add_lines(lines, 0, most_bytes=1 << 40)


@pytest.mark.parametrize("begin", [build, route])
def test_what_a_signal_handler_raises_comes_out_of_decoding(
    begin: Callable[[], Callable[[Lines], object]], signalled: list[int]
) -> None:
    """At the value under way, and what is half built gives no rows after that."""
    take = begin()
    with pytest.raises(TimeIsUp):
        take(LINES)
    assert len(signalled) == 5
    with pytest.raises(RuntimeError, match="was interrupted"):
        take(LINES)
    assert len(signalled) == 5


@pytest.mark.parametrize("partition_by", [(), ("k",)])
def test_a_signal_ends_a_conversion(tmp_path: Path, partition_by: tuple[str, ...], signalled: list[int]) -> None:
    """Nothing is published, and the value under way does not become null."""
    root, export = write_export(tmp_path / "exports", ITEMS, files=1)
    lake = LocalStore(tmp_path / "lake")
    with pytest.raises(TimeIsUp):
        convert_export(
            root, export, lake, options=ColumnOptions(numbers="double", partition_by=partition_by), workers=1
        )
    assert len(signalled) == 5
    assert not list(lake.list(f"reviews/{RECORDS_FOLDER}"))
