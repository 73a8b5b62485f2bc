"""Lines as the reference decoder takes them: what there is where there is no compiled decoder, and for ION."""

from __future__ import annotations

from collections import Counter

import pyarrow as pa

from airflow_provider_ddbexport.core.columns import Observation, RowBuilder, Schema
from airflow_provider_ddbexport.core.columns.sparse import SparseBatch
from airflow_provider_ddbexport.core.decode import Item
from airflow_provider_ddbexport.core.line_blocks import Decode, LineObserver, Lines, decoded, decoded_from


class ReferenceObserver:
    """Observes the items of lines."""

    def __init__(self, decode: Decode) -> None:
        self._decode = decode
        self._observation = Observation()
        self.add = self._observation.add

    @property
    def news(self) -> int:
        """As Observation's."""
        return self._observation.news

    def take(self, lines: Lines) -> int:
        """Observe whole *lines* and return how many they are; raises RefusedLineError."""
        before = self._observation.items
        for item in decoded(lines, self._decode):
            self.add(item)
        return self._observation.items - before

    def observation(self) -> Observation:
        """Return what was observed."""
        observation = Observation()
        observation.merge(self._observation)
        return observation


class ReferenceBuilder:
    """The reference :class:`.BlockBuilder`, whose methods are described there."""

    def __init__(self, decode: Decode, schema: Schema) -> None:
        self._decode = decode
        self._rows = RowBuilder(schema)

    @property
    def rows(self) -> int:
        """Rows since the last :meth:`finish`."""
        return self._rows.rows

    @property
    def bytes(self) -> int:
        """Estimate of their size."""
        return self._rows.bytes

    @property
    def rescued(self) -> Counter[str]:
        """Values rescued so far, over all batches, by path."""
        return self._rows.rescued.copy()

    def add(self, item: Item, not_in_path: int = 0) -> None:  # noqa: ARG002 - it finds that out itself
        """Append one row."""
        self._rows.add(item)

    def add_lines(
        self, lines: Lines, start: int, *, most_rows: int, most_bytes: int, observer: LineObserver | None = None
    ) -> int:
        """Append lines, each of them decoded once."""
        if observer is not None and not isinstance(observer, ReferenceObserver):
            raise TypeError("expected an observer of the reference decoder")
        rows = self._rows
        rows.mark()
        for item, after in decoded_from(lines, start, self._decode):
            if observer is not None:
                observer.add(item)
            rows.add(item)
            if rows.rows >= most_rows or rows.bytes >= most_bytes:
                return after
        return len(lines)

    def take_back(self) -> None:
        """Forget the rows of the last add_lines()."""
        self._rows.take_back()

    def finish(self) -> pa.RecordBatch:
        """Return the rows as one batch."""
        return self._rows.finish()

    def finish_sparse(self) -> SparseBatch:
        """Return them with columns that are mostly null as the values they have."""
        return self._rows.finish_sparse()
