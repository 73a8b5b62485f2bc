"""Numbers: one spelling each, the narrowest exact type, and never a rounded value."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pyarrow as pa
import pytest
from generated_items import NUMBERS, numbers
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_ddbexport.core.columns.numbers import NumberSpan, canonical, fit

quick = settings(max_examples=100, deadline=None, database=None)

TYPES = [pa.int64(), pa.float64(), pa.string(), pa.decimal128(38, 9), pa.decimal128(5, 2), pa.decimal128(38, 38)]

INT64, DEFAULT = pa.int64(), pa.decimal128(38, 9)


def span_of(texts: list[str]) -> NumberSpan:
    span = NumberSpan()
    for text in texts:
        span.add(text)
    return span


@quick
@given(number=numbers)
def test_canonical_text_is_the_same_number(number: str) -> None:
    """Nothing is rounded, whatever the digits and the exponent, and the spelling is stable."""
    assert Decimal(canonical(number)) == Decimal(number)
    assert canonical(canonical(number)) == canonical(number)


@quick
@given(number=numbers, zeros=st.integers(0, 3), shift=st.integers(0, 5))
def test_equal_numbers_have_equal_text(number: str, zeros: int, shift: int) -> None:
    """Zeros at the ends and the place of the exponent make no difference."""
    sign, digits, exponent = Decimal(number).as_tuple()
    assert isinstance(exponent, int)
    other = f"{'-' if sign else ''}{'0' * zeros}{''.join(map(str, digits))}{'0' * shift}E{exponent - shift}"
    assert Decimal(other) == Decimal(number)
    assert canonical(other) == canonical(number)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("-0", "0"),
        ("0E5", "0"),
        ("0.000", "0"),
        ("1.50", "1.5"),
        ("-1.50", "-1.5"),
        ("1E3", "1000"),
        ("1.5e-3", "0.0015"),
        ("+007.0", "7"),
        (".5", "0.5"),
        ("1E37", "1" + "0" * 37),
        ("1E38", "1E+38"),
        ("12E-130", "1.2E-129"),
        ("1E-130", "1E-130"),
        ("9900E123", "9.9E+126"),
        ("1E-38", "0." + "0" * 37 + "1"),
        ("1E-39", "0." + "0" * 38 + "1"),
        ("1E-40", "1E-40"),
    ],
)
def test_canonical_text_is_plain_for_moderate_exponents(text: str, expected: str) -> None:
    """Digits as people write them; an exponent only where a column of decimals could not hold the number anyway."""
    assert canonical(text) == expected


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["1", "-5", "1.0", "1E3", "0"], INT64),
        (["9223372036854775807", "-9223372036854775808"], INT64),
        (["9223372036854775808"], DEFAULT),
        (["-9223372036854775809"], DEFAULT),
        (["1", "0.5"], DEFAULT),
        (["0.123456789", "9" * 29], DEFAULT),
        (["9" * 29 + ".123456789"], DEFAULT),
        (["0.5", "9" * 30], pa.decimal128(38, 1)),
        (["9" * 38], pa.decimal128(38, 0)),
        (["0.1234567891"], pa.decimal128(38, 10)),
        (["0.1234567891", "9" * 28], pa.decimal128(38, 10)),
        (["0.1234567891", "9" * 29], pa.string()),
        (["1E-38"], pa.decimal128(38, 38)),
        (["1E-39"], pa.string()),
        (["1E-38", "1"], pa.string()),
        (["1E-130"], pa.string()),
        (["9.9E+125"], pa.string()),
        (["1E38"], pa.string()),
    ],
)
def test_the_default_type_is_the_narrowest_that_holds_all(texts: list[str], expected: pa.DataType) -> None:
    """int64, else decimal(38,9), else the decimal of the smallest scale, else text; in any order of the numbers."""
    assert span_of(texts).arrow() == expected
    assert span_of(texts[::-1]).arrow() == expected


@quick
@given(texts=st.lists(numbers, max_size=6), split=st.integers(0, 6))
def test_all_numbers_fit_the_type_chosen_for_them(texts: list[str], split: int) -> None:
    """A span, however it was gathered, chooses a type that holds each of its numbers."""
    span = span_of(texts[split:])
    span.merge(span_of(texts[:split]))
    assert span == span_of(texts)
    into = fit(span.arrow())
    assert all(into(text) is not None for text in texts)


@pytest.mark.parametrize("arrow", TYPES, ids=str)
@quick
@given(number=numbers)
def test_a_column_holds_a_number_exactly_or_refuses_it(arrow: pa.DataType, number: str) -> None:
    """What Arrow stores is equal to the number; None means that no value of the type is."""
    kept = fit(arrow)(number)
    exact = Decimal(number)
    if kept is not None:
        array = pa.array([kept], pa.string()).cast(arrow) if pa.types.is_decimal(arrow) else pa.array([kept], arrow)
        assert Decimal(str(array[0].as_py())) == exact
    elif pa.types.is_int64(arrow):
        assert exact != int(exact) or not -(2**63) <= exact < 2**63
    elif pa.types.is_float64(arrow):
        assert Decimal(repr(float(number))) != exact
    else:
        unscaled = Fraction(exact) * 10**arrow.scale
        assert unscaled.denominator > 1 or abs(unscaled) >= 10**arrow.precision


@pytest.mark.parametrize("number", NUMBERS)
def test_only_what_survives_a_double_goes_into_one(number: str) -> None:
    """A double column never shows another number than the item has."""
    kept = fit(pa.float64())(number)
    assert (kept is not None) == (Decimal(repr(float(number))) == Decimal(number))
