"""DynamoDB's numbers, as text: one spelling for each value, and which column types hold it without changing it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

import pyarrow as pa

DECIMAL_DIGITS = 38
"""Digits of the widest decimal that Parquet readers share, and of DynamoDB's numbers."""

DEFAULT_SCALE = 9
"""Scale of a decimal column as long as all its numbers fit: money and most measurements, with room for 29 digits."""

# Numbers of the usual size in the spelling DynamoDB uses: no leading or trailing zeros, no exponent.
_SMALL = re.compile(r"-?(0|[1-9][0-9]{0,17})(?:\.([0-9]{0,17}[1-9]))?")

_INT64_MIN, _INT64_MAX = -(1 << 63), (1 << 63) - 1


def canonical(text: str) -> str:
    """Return the one spelling of the number: equal numbers have equal text.

    Plain digits (``1200``, ``-0.5``) up to 38 digits before the decimal point and 38 zeros behind it, which is whatever
    a decimal column holds; beyond that ``9.9E+125``, as DynamoDB writes it. Never ``-0``, no useless zeros.
    """
    if _SMALL.fullmatch(text) and text != "-0":
        return text
    negative, digits, exponent = _normal(text)
    if digits == "0":
        return "0"
    sign = "-" if negative else ""
    point = len(digits) + exponent
    if not -DECIMAL_DIGITS <= point <= DECIMAL_DIGITS:
        mantissa = f"{digits[0]}.{digits[1:]}" if len(digits) > 1 else digits
        return f"{sign}{mantissa}E{point - 1:+d}"
    if exponent >= 0:
        return f"{sign}{digits}{'0' * exponent}"
    if point > 0:
        return f"{sign}{digits[:point]}.{digits[point:]}"
    return f"{sign}0.{'0' * -point}{digits}"


def _normal(text: str) -> tuple[int, str, int]:
    """Return sign, digits and exponent with value = digits · 10^exponent and no zero at either end; 0 is "0", 0."""
    # Not Decimal.normalize(): that rounds to the context's precision.
    sign, figures, exponent = Decimal(text).as_tuple()
    digits = "".join(map(str, figures))
    short = digits.rstrip("0")
    if not short or not isinstance(exponent, int):
        return sign, "0", 0
    return sign, short, exponent + len(digits) - len(short)


def _measure(text: str) -> tuple[int, int]:
    """Return the digits before and after the decimal point; none before it in 0.5, none at all in 0."""
    small = _SMALL.fullmatch(text)
    if small:
        whole, fraction = small.groups()
        return 0 if whole == "0" else len(whole), len(fraction) if fraction else 0
    _, digits, exponent = _normal(text)
    if digits == "0":
        return 0, 0
    return max(0, len(digits) + exponent), max(0, -exponent)


def _is_within(text: str, whole_digits: int, scale: int) -> bool:
    """Return True if *text* is seen at a glance to have no more digits before and after the decimal point."""
    whole, point, fraction = text.removeprefix("-").partition(".")
    return (
        whole.isdecimal()
        and len(whole) <= whole_digits
        and (not point or (fraction.isdecimal() and len(fraction) <= scale))
    )


@dataclass(slots=True)
class NumberSpan:
    """What is known of all the numbers of one place: enough to choose a type, the same in whatever order they came.

    Attributes:
        whole_digits, scale: the most digits that any number has before and after the decimal point.
        is_int64: all are whole and between -2^63 and 2^63 - 1.
    """

    whole_digits: int = 0
    scale: int = 0
    is_int64: bool = True

    def add(self, text: str) -> bool:
        """Take in one number; return whether more is known now."""
        # Most numbers are whole, and shorter than some other.
        if text.isdecimal():
            if len(text) <= self.whole_digits and len(text) <= 18:
                return False
        elif not self.is_int64 and _is_within(text, self.whole_digits, self.scale):
            return False
        whole_digits, scale = _measure(text)
        is_int64 = not scale and (whole_digits <= 18 or _int64(text) is not None)
        if whole_digits <= self.whole_digits and scale <= self.scale and (is_int64 or not self.is_int64):
            return False
        self.whole_digits = max(self.whole_digits, whole_digits)
        self.scale = max(self.scale, scale)
        self.is_int64 = self.is_int64 and is_int64
        return True

    def merge(self, other: NumberSpan) -> None:
        """Take in all numbers of *other*."""
        self.whole_digits = max(self.whole_digits, other.whole_digits)
        self.scale = max(self.scale, other.scale)
        self.is_int64 = self.is_int64 and other.is_int64

    def arrow(self) -> pa.DataType:
        """Return the narrowest of the default types that holds all: int64, decimal(38,9), decimal(38,s), string."""
        if self.is_int64:
            return pa.int64()
        if self.scale <= DEFAULT_SCALE and self.whole_digits <= DECIMAL_DIGITS - DEFAULT_SCALE:
            return pa.decimal128(DECIMAL_DIGITS, DEFAULT_SCALE)
        if self.whole_digits + self.scale <= DECIMAL_DIGITS:
            return pa.decimal128(DECIMAL_DIGITS, self.scale)
        return pa.string()


Fit = Callable[[str], int | float | str | None]
"""The number as its column is built from (a decimal's as text), or None when the column cannot hold it exactly."""


def fit(arrow: pa.DataType) -> Fit:
    """Return how numbers go into a column of *arrow*, which is int64, double, string or a decimal128."""
    if pa.types.is_int64(arrow):
        return _int64
    if pa.types.is_float64(arrow):
        return _double
    if pa.types.is_string(arrow):
        return canonical
    return _decimal(arrow.precision - arrow.scale, arrow.scale)


def _int64(text: str) -> int | None:
    try:
        number = int(text)
    except ValueError:
        # 1.0 and 1E3 are whole, too.
        whole_digits, scale = _measure(text)
        if scale or whole_digits > 19:
            return None
        number = int(Decimal(text))
    return number if _INT64_MIN <= number <= _INT64_MAX else None


def _double(text: str) -> float | None:
    number = float(text) + 0.0  # -0.0 becomes 0.0
    # Any 15 digits survive a double; more are tried out.
    if len(text) <= 15 and _SMALL.fullmatch(text):
        return number
    return number if Decimal(repr(number)) == Decimal(text) else None


def _decimal(most_whole_digits: int, most_scale: int) -> Fit:
    whole = f"[0-9]{{1,{most_whole_digits}}}" if most_whole_digits else "0"
    fraction = rf"(?:\.[0-9]{{1,{most_scale}}})?" if most_scale else ""
    is_within = re.compile(f"-?{whole}{fraction}").fullmatch

    def decimal(text: str) -> str | None:
        if is_within(text):
            return text
        whole_digits, scale = _measure(text)
        return canonical(text) if whole_digits <= most_whole_digits and scale <= most_scale else None

    return decimal
