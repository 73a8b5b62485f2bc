"""Memory does not grow with the export."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
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


def items(count: int) -> list[dict[str, Any]]:
    """Return *count* items of a little more than TEXT_BYTES."""
    return [
        {"id": {"N": str(number)}, "Kind": {"S": str(number % 5)}, "t": {"S": f"{number:06d}" * (TEXT_BYTES // 6)}}
        for number in range(count)
    ]


def peak_bytes(work: Callable[[], object]) -> int:
    """Return the most memory that Python objects, Arrow's buffers and the compiled decoder's blocks took together while
    *work* ran, at least about: buffers and blocks are looked at whenever a row group is handed over."""
    buffers = [0]
    pool, kernel = pa.default_memory_pool(), load("_kernel")

    def watched(finish: Callable[..., Any]) -> Callable[..., Any]:
        def watch(*arguments: Any) -> Any:
            batch = finish(*arguments)
            buffers.append(pool.bytes_allocated() + (kernel.block_bytes() if kernel else 0))
            return batch

        return watch

    with pytest.MonkeyPatch.context() as patch:
        for router in (LineRouter, ReferenceRouter):
            patch.setattr(router, "finish_sparse", watched(router.finish_sparse))
        tracemalloc.start()
        try:
            work()
            return tracemalloc.get_traced_memory()[1] + max(buffers)
        finally:
            tracemalloc.stop()


@pytest.mark.parametrize("decoder", ["compiled", "reference"])
@pytest.mark.parametrize("options", [ColumnOptions(), ColumnOptions(partition_by=("Kind",))], ids=["plain", "folders"])
def test_four_times_the_items_take_no_more_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: ColumnOptions, decoder: str
) -> None:
    """Converting and restoring hold row groups and batches, never the table: the peak stays, the export grows."""
    monkeypatch.setenv(DECODER_VARIABLE, decoder)
    monkeypatch.setattr(parts_module, "ROW_GROUP_BYTES", 200_000)
    peaks = {}
    # The first one imports what it needs.
    for count in (1, SMALL, LARGE):
        root, export = write_export(tmp_path / str(count), items(count), files=2)
        lake = LocalStore(tmp_path / str(count) / "lake")
        converting = peak_bytes(lambda: convert_export(root, export, lake, options=options))  # noqa: B023
        restoring = peak_bytes(lambda: [None for _ in snapshot_items(lake, "reviews")])  # noqa: B023
        peaks[count] = converting, restoring
    for small, large in zip(peaks[SMALL], peaks[LARGE], strict=True):
        # 18 MB more of items; one more buffer of the disk's or the network's is all they may take.
        assert large - small < 1_500_000
        assert large < LARGE * TEXT_BYTES / 3
