"""Memory does not grow with the export."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from fresh_process import in_a_fresh_process
from snapshot_exports import write_export

from airflow_provider_ddbexport.core.columns import ColumnOptions
from airflow_provider_ddbexport.core.compiled.line_router import LineRouter
from airflow_provider_ddbexport.core.compiled.loading import load
from airflow_provider_ddbexport.core.decoder import DECODER_VARIABLE
from airflow_provider_ddbexport.core.reference_lines import ReferenceRouter
from airflow_provider_ddbexport.core.snapshot import convert_export, snapshot_items
from airflow_provider_ddbexport.core.snapshot import parts as parts_module
from airflow_provider_ddbexport.core.store import LocalStore

SMALL, LARGE = 2_000, 8_000
TEXT_BYTES = 3_000
TIMES = 2
"""Each is converted, and the least counts: how far threads are at the same time is chance, and up to a megabyte."""


def items(count: int) -> list[dict[str, Any]]:
    """Return *count* items of a little more than TEXT_BYTES."""
    return [
        {"id": {"N": str(number)}, "Kind": {"S": str(number % 5)}, "t": {"S": f"{number:06d}" * (TEXT_BYTES // 6)}}
        for number in range(count)
    ]


@dataclass(frozen=True)
class Peaks:
    """The most memory that Python objects, Arrow's buffers and the compiled decoder's blocks took together, at least
    about: buffers and blocks are looked at whenever a row group is handed over, or an item given back."""

    converting: int
    restoring: int


class Watch:
    """Looks at what Arrow's buffers and the compiled decoder's blocks take, and notes the most."""

    def __init__(self) -> None:
        self._pool, self._kernel = pa.default_memory_pool(), load("_kernel")
        self._most = 0

    def look(self) -> None:
        blocks = self._kernel.block_bytes() if self._kernel else 0
        self._most = max(self._most, self._pool.bytes_allocated() + blocks)

    def looking(self, finish: Callable[..., Any]) -> Callable[..., Any]:
        """Return *finish*, with a look at what it returns."""

        def watched(*arguments: Any) -> Any:
            batch = finish(*arguments)
            self.look()
            return batch

        return watched

    def peak_bytes(self, work: Callable[[], object]) -> int:
        """Return the most memory taken while *work* ran."""
        self._most = 0
        tracemalloc.start()
        try:
            work()
            return tracemalloc.get_traced_memory()[1] + self._most
        finally:
            tracemalloc.stop()


def measure(folder: Path, options: ColumnOptions, decoder: str) -> tuple[Peaks, Peaks]:
    """Convert and restore exports of SMALL and of LARGE."""
    watch = Watch()

    def peaks(count: int) -> Peaks:
        export = write_export(folder / str(count), items(count), files=2)
        lakes = [LocalStore(folder / str(count) / f"lake {number}") for number in range(TIMES)]
        converting = min(
            watch.peak_bytes(lambda lake=lake: convert_export(*export, lake, options=options))  # type: ignore[misc]
            for lake in lakes
        )
        return Peaks(converting, watch.peak_bytes(lambda: [watch.look() for _ in snapshot_items(lakes[0], "reviews")]))

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(DECODER_VARIABLE, decoder)
        patch.setattr(parts_module, "ROW_GROUP_BYTES", 200_000)
        for router in (LineRouter, ReferenceRouter):
            patch.setattr(router, "finish_sparse", watch.looking(router.finish_sparse))
        # The first one imports what they need.
        peaks(1)
        return peaks(SMALL), peaks(LARGE)


@pytest.mark.parametrize("decoder", ["compiled", "reference"])
@pytest.mark.parametrize("options", [ColumnOptions(), ColumnOptions(partition_by=("Kind",))], ids=["plain", "folders"])
def test_four_times_the_items_take_no_more_memory(tmp_path: Path, options: ColumnOptions, decoder: str) -> None:
    """Converting and restoring hold row groups and batches, never the table: the peak stays, the export grows."""
    small, large = in_a_fresh_process(measure, tmp_path, options, decoder)
    for before, after in ((small.converting, large.converting), (small.restoring, large.restoring)):
        # 18 MB more of items; one more buffer of the disk's or the network's is all they may take.
        assert after - before < 1_500_000
        assert after < LARGE * TEXT_BYTES / 3
