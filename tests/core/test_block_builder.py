"""Blocks of lines are read once: observed, built, and taken back."""

from __future__ import annotations

import copy
import sys
from pathlib import Path
from random import Random

import pyarrow as pa
import pytest
from decoder_fuzz import DECODER_VARIABLE, random_options, reference_outcome, schema_for, spelled
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_ddbexport.core import decoder
from airflow_provider_ddbexport.core.columns import ColumnOptions, Observation, Schema, resolve
from airflow_provider_ddbexport.core.columns.observe import Shape
from airflow_provider_ddbexport.core.columns.sparse import SparseColumn
from airflow_provider_ddbexport.core.compiled.line_builder import LineBuilder
from airflow_provider_ddbexport.core.decode import Item, decode_line
from airflow_provider_ddbexport.core.decoder import block_builder, line_observer
from airflow_provider_ddbexport.core.line_blocks import BlockBuilder, LineObserver, RefusedLineError
from airflow_provider_ddbexport.core.reference_lines import ReferenceBuilder
from airflow_provider_ddbexport.errors import BadCallError

sys.path.insert(0, str(Path(__file__).with_name("columns")))
from generated_items import item_lists, random_items

ALL = {"most_rows": 1 << 40, "most_bytes": 1 << 40}

generated = settings(max_examples=30, deadline=None, database=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(params=["compiled", "reference"])
def decoder_in_use(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run it with both decoders."""
    name: str = request.param
    monkeypatch.setenv(DECODER_VARIABLE, name)
    if name == "compiled" and decoder._kernel() is None:
        pytest.skip("there is no compiled decoder")
    return name


def block_of(items: list[Item], random: Random) -> bytes:
    return b"".join(spelled(item, random) + b"\n" for item in items)


def assert_holds(builder: BlockBuilder, lines: bytes, schema: Schema) -> None:
    """The builder is as if it had been given *lines* and nothing else."""
    expected = reference_outcome(lines, schema)
    assert (builder.rows, builder.bytes, dict(builder.rescued)) == (
        lines.count(b"\n"),
        expected.bytes,
        expected.rescued,
    )
    batch = builder.finish()
    batch.validate(full=True)
    assert expected.batch is not None
    assert batch.equals(expected.batch)


def test_each_decoder_has_its_block_builder(decoder_in_use: str) -> None:
    """The tests below run both."""
    expected = {"compiled": LineBuilder, "reference": ReferenceBuilder}[decoder_in_use]
    assert isinstance(block_builder(decode_line, Schema(())), expected)


@pytest.mark.usefixtures("decoder_in_use")
@generated
@given(blocks=st.lists(item_lists(max_size=12), min_size=3, max_size=3), seed=st.integers(0, 1 << 30))
def test_rows_that_are_taken_back_leave_nothing_but_what_was_observed(blocks: list[list[Item]], seed: int) -> None:
    """Not in the values, the nulls, the estimate of bytes or the counts of what was rescued; twice in a row as well."""
    random = Random(seed)
    first, gone, last = (block_of(items, random) for items in blocks)
    schema = schema_for(random.choice(blocks), random_options(random))
    if schema is None:
        return
    observer, builder = line_observer(decode_line), block_builder(decode_line, schema)
    builder.add_lines(first, 0, **ALL, observer=observer)
    for _ in range(2):
        builder.add_lines(gone, 0, **ALL, observer=observer)
        builder.take_back()
    builder.add_lines(last, 0, **ALL, observer=observer)
    assert_holds(builder, first + last, schema)
    assert observer.observation() == reference_outcome(first + gone + gone + last, schema).observation
    builder.take_back()
    assert builder.rows == 0


@pytest.mark.usefixtures("decoder_in_use")
def test_many_rows_are_taken_back_at_any_place() -> None:
    """Bytes of eight nulls, lists and maps in lists, in batches after the first."""
    for seed in range(40):
        random = Random(seed)
        blocks = [random_items(random, rows=random.choice([1, 7, 8, 9, 30])) for _ in range(3)]
        first, gone, last = (block_of(items, random) for items in blocks)
        schema = schema_for([*blocks[0], *blocks[1]], random_options(random))
        if schema is None:
            continue
        builder = block_builder(decode_line, schema)
        builder.add_lines(gone, 0, **ALL)
        builder.finish()
        counted = builder.rescued
        builder.add_lines(first, 0, **ALL)
        builder.add_lines(gone, 0, **ALL)
        builder.take_back()
        builder.add_lines(last, 0, **ALL)
        expected = reference_outcome(first + last, schema)
        assert builder.bytes == expected.bytes
        assert builder.rescued - counted == expected.rescued
        assert expected.batch is not None
        assert builder.finish_sparse().dense().equals(expected.batch)


@pytest.mark.usefixtures("decoder_in_use")
@generated
@given(items=item_lists(max_size=30), seed=st.integers(0, 1 << 30))
def test_columns_that_are_mostly_null_are_given_as_the_values_they_have(items: list[Item], seed: int) -> None:
    """Which are those of the batch, and the builder starts anew."""
    random = Random(seed)
    schema = schema_for(items, random_options(random))
    if schema is None:
        return
    builder = block_builder(decode_line, schema)
    for lines in (block_of(items, random), block_of(items[::2], random)):
        builder.add_lines(lines, 0, **ALL)
        batch = builder.finish_sparse()
        batch.dense().validate(full=True)
        assert batch.dense().equals(reference_outcome(lines, schema).batch)
        for column in batch.columns:
            if isinstance(column, SparseColumn):
                column.values.validate(full=True)
                assert column.values.null_count == 0
                assert 2 * column.null_count >= len(column)
            elif not pa.types.is_nested(column.type):
                assert 2 * column.null_count < max(1, len(column))


@pytest.mark.usefixtures("decoder_in_use", "most_keys")
def test_builders_share_an_observer_and_observers_a_builder() -> None:
    """As when a shard goes on under a wider schema: what is seen does not depend on the columns there are."""
    for seed in range(30):
        random = Random(seed)
        blocks = [random_items(random, rows=8) for _ in range(6)]
        schemas = [schema_for(block, random_options(random)) for block in blocks[:2]]
        builders = [block_builder(decode_line, schema) for schema in schemas if schema is not None]
        observers = [line_observer(decode_line), line_observer(decode_line)]
        given: list[list[Item]] = [[], []]
        for block in blocks:
            for builder in builders:
                which = random.randrange(2)
                builder.add_lines(block_of(block, random), 0, **ALL, observer=observers[which])
                given[which] += block
        for observer, items in zip(observers, given, strict=True):
            expected = Observation()
            for item in items:
                expected.add(item)
            assert observer.observation() == expected


@pytest.mark.usefixtures("decoder_in_use")
def test_what_was_given_away_is_not_taken_back() -> None:
    """After finish() there is nothing to forget."""
    schema = schema_for([{"a": {"S": ""}}], ColumnOptions())
    assert schema is not None
    builder = block_builder(decode_line, schema)
    builder.add_lines(b'{"Item":{"a":{"N":"1"}}}\n', 0, **ALL)
    assert builder.finish().num_rows == 1
    builder.take_back()
    assert (builder.rows, builder.bytes, dict(builder.rescued)) == (0, 0, {"a": 1})


@pytest.mark.usefixtures("decoder_in_use")
def test_a_line_that_is_no_item_is_refused_with_its_offset() -> None:
    """And the lines before it can be taken back."""
    lines = b'{"Item":{}}\n{"Item":{"a":{"S":"x"}}}\n{"Item":{"a":1}}\n'
    builder, observer = block_builder(decode_line, Schema(())), line_observer(decode_line)
    with pytest.raises(RefusedLineError) as refused:
        builder.add_lines(lines, 12, **ALL, observer=observer)
    assert refused.value.offset == lines.rindex(b"{") - len('{"Item":')
    assert builder.rows == 1
    builder.take_back()
    assert builder.rows == 0


@pytest.mark.usefixtures("decoder_in_use")
def test_a_builder_takes_observers_of_its_own_decoder_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Anything else would be observed by one and built by the other."""
    builder = block_builder(decode_line, Schema(()))
    other = "reference" if isinstance(builder, LineBuilder) else "compiled"
    monkeypatch.setenv(DECODER_VARIABLE, other)
    if other == "compiled" and decoder._kernel() is None:
        pytest.skip("there is no compiled decoder")
    with pytest.raises(TypeError):
        builder.add_lines(b"", 0, **ALL, observer=line_observer(decode_line))


def normal_counts(shape: Shape) -> Shape:
    """Return *shape* as if each type had been there once."""
    return Shape(
        dict.fromkeys(shape.counts, 1),
        shape.numbers,
        shape.set_numbers,
        None if shape.members is None else {key: normal_counts(member) for key, member in shape.members.items()},
        None if shape.map_values is None else normal_counts(shape.map_values),
        None if shape.elements is None else normal_counts(shape.elements),
    )


def columns_for_any_counts(observation: Observation, other: Observation, options: ColumnOptions) -> Schema | None:
    """Return the columns of both that do not depend on which type is commonest; None where there are none."""
    merged = Observation()
    merged.merge(observation)
    merged.merge(other)
    attributes = {name: normal_counts(shape) for name, shape in merged.attributes.items()}
    try:
        return resolve(Observation.of(merged.items, attributes), options)
    except BadCallError:
        return None


@pytest.fixture(params=[256, 2], ids=["maps have few keys", "maps have many keys"])
def most_keys(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run it again with a limit that generated maps exceed."""
    for module in ("observe", "resolve"):
        monkeypatch.setattr(
            sys.modules[f"airflow_provider_ddbexport.core.columns.{module}"], "MAX_MEMBERS", request.param
        )


@pytest.mark.usefixtures("most_keys")
def test_without_news_no_column_changes_and_both_decoders_tell_the_same_news() -> None:
    """Line by line, whatever is known of other items; but for another type becoming the commonest, which is known only
    at the end.
    """
    told = untold = 0
    for seed in range(60):
        random = Random(seed)
        options = random_options(random)
        observation, observer = Observation(), line_observer(decode_line)
        other = Observation()
        for item in random_items(random, rows=2):
            other.add(item)
        for item in random_items(random, rows=25):
            before = copy.deepcopy(observation)
            observation.add(item)
            is_news = observation.news != before.news
            told += is_news
            untold += not is_news
            assert is_news == _moves(observer, spelled(item, random)), (seed, item)
            if not is_news:
                columns = columns_for_any_counts(observation, other, options)
                assert columns == columns_for_any_counts(before, other, options)
    assert told > 300
    assert untold > 300


def _moves(observer: LineObserver, line: bytes) -> bool:
    before = observer.news
    observer.take(line)
    return observer.news != before


def test_a_number_is_news_when_it_has_more_digits_than_any() -> None:
    """Even where its type stays the same: with those that others have seen it may ask for another."""
    observation = Observation()
    moved = []
    for number in ("1", "22", "7", "0.5", "7.25", "-33.1", "1E-9", "9" * 30, "9" * 19, "1E-38", "1", "1E-130", "0.5"):
        before = observation.news
        observation.add({"n": {"N": number}})
        moved.append(observation.news != before)
    assert moved == [True, True, False, True, True, False, True, True, False, True, False, True, False]
