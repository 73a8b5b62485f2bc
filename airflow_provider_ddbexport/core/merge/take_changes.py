"""Lines of increments to changes on the local disk."""

from __future__ import annotations

import msgspec

from airflow_provider_ddbexport.core.decode import decode_line
from airflow_provider_ddbexport.core.export.changes import decode_raw_change
from airflow_provider_ddbexport.core.line_blocks import Lines, RefusedLineError
from airflow_provider_ddbexport.core.merge.change_keys import KeyReader
from airflow_provider_ddbexport.core.merge.spill import Spill
from airflow_provider_ddbexport.errors import ItemError

_NO_CHANGE = "expected a change with Metadata, Keys, OldImage and NewImage"
_OTHER_KEY = "expected a NewImage with the attributes of Keys, found others"

_INT64 = range(-(1 << 63), 1 << 63)


class ChangeTaker:
    """Spills the changes in blocks of lines of one file.

    The compiled part takes the usual ones. What a change is, and why a line is none, is written only here.
    """

    def __init__(
        self, spill: Spill, keys: KeyReader, window: int, *, tells_before: bool, untold_micros: int | None
    ) -> None:
        self._spill = spill
        self._keys = keys
        self._window = window
        self._tells = tells_before
        self._untold_micros = untold_micros

    def __call__(self, lines: Lines) -> int:
        """Take whole *lines* and return how many they are. Raises RefusedLineError."""
        start = count = 0
        while start < len(lines):
            dealt, start = self._spill.deal(
                lines,
                start,
                self._keys.attributes,
                self._window,
                tells=self._tells,
                untold_micros=self._untold_micros,
            )
            count += dealt
            if start < len(lines):
                end = lines.find(b"\n", start)
                end = len(lines) if end < 0 else end
                try:
                    self._take(lines[start:end])
                except ItemError as error:
                    raise RefusedLineError(start, str(error.context["reason"])) from None
                start = end + 1
                count += 1
        return count

    def _take(self, line: bytes) -> None:
        """Take one *line*. Raises ItemError with a reason."""
        try:
            change = decode_raw_change(line)
            micros = int(change.Metadata.WriteTimestampMicros.N)
            if micros not in _INT64:
                raise _refusal(_NO_CHANGE)
            text, image = bytes(change.Keys), bytes(change.NewImage)
            key = self._keys.read(text)
            is_other = bool(image) and not self._keys.is_of(image, key, text)
        except (ValueError, msgspec.MsgspecError, RecursionError):
            raise _refusal(_NO_CHANGE) from None
        old, new = _item_line(bytes(change.OldImage)), _item_line(image)
        for one in (old, new):
            if one:
                decode_line(one)
        if is_other:
            raise _refusal(_OTHER_KEY)
        if micros == self._untold_micros:
            self._spill.add(key, self._window, micros, False, b"", new)
        else:
            self._spill.add(key, self._window, micros, self._tells, old, new)


def _refusal(reason: str) -> ItemError:
    return ItemError(reason, reason=reason)


def _item_line(image: bytes) -> bytes:
    return image and b'{"Item":%b}\n' % image
