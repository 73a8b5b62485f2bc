"""Blocks of lines: what data files are handed over as, and the reference decoder's way through them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from airflow_provider_ddbexport.core.decode import Item, decode_line
from airflow_provider_ddbexport.errors import ItemError

Decode = Callable[[bytes], Item]
"""From a line to its item; raises ItemError with a reason."""

Lines = bytes
"""Whole lines; only the last may lack its line break."""


class RefusedLineError(Exception):
    """A line is no item; caught by the reader of its file, which knows where it is."""

    def __init__(self, offset: int, reason: str) -> None:
        super().__init__(reason)
        self.offset = offset
        """Bytes of the block before the line."""
        self.reason = reason


def decoded(lines: Lines, decode: Decode) -> Iterator[Item]:
    """Yield the items of whole *lines*; raises RefusedLineError."""
    offset = 0
    *whole, rest = lines.split(b"\n")
    for line in [*whole, rest] if rest else whole:
        try:
            yield decode(line)
        except ItemError as error:
            raise RefusedLineError(offset, _reason(error)) from None
        offset += len(line) + 1


def reference_line(lines: Lines, start: int) -> tuple[Item, int]:
    """Return the item of the line at *start*, and where the next one is."""
    end = lines.find(b"\n", start)
    end = len(lines) if end < 0 else end
    try:
        return decode_line(lines[start:end]), end + 1
    except ItemError as error:
        raise RefusedLineError(start, _reason(error)) from None


def _reason(error: ItemError) -> str:
    return str(error.context.get("reason") or error)
