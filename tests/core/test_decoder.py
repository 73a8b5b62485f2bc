"""The compiled decoder gives the reference's answer, to every line."""

from __future__ import annotations

import base64
import importlib
import json
import logging
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
from decoder_fuzz import (
    compiled_outcome,
    damaged,
    random_options,
    reference_outcome,
    schema_for,
    spelled,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from snapshot_exports import write_export

from airflow_provider_ddbexport.core import decoder
from airflow_provider_ddbexport.core.columns import ColumnOptions
from airflow_provider_ddbexport.core.compiled import loading, sources
from airflow_provider_ddbexport.core.decode import Item, decode_line
from airflow_provider_ddbexport.core.decoder import DECODER_VARIABLE, block_builder, line_observer
from airflow_provider_ddbexport.core.export import verify_export
from airflow_provider_ddbexport.core.line_blocks import RefusedLineError
from airflow_provider_ddbexport.core.reference_lines import ReferenceBuilder
from airflow_provider_ddbexport.core.snapshot import convert_export
from airflow_provider_ddbexport.core.store import LocalStore
from airflow_provider_ddbexport.errors import ItemError
from try_distributions import NO_DECODER

sys.path.insert(0, str(Path(__file__).with_name("columns")))
from generated_items import item_lists, random_items

needs_compiled = pytest.mark.skipif(decoder._kernel() is None, reason="there is no compiled decoder")

ROUNDS = int(os.environ.get("DDBEXPORT_DECODER_ROUNDS", "1"))
"""How many times the usual number of generated exports; `make fuzz` asks for more."""

generated = settings(max_examples=60 * ROUNDS, deadline=None, database=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(params=[256, 2], ids=["maps have few keys", "maps have many keys"])
def most_keys(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run it again with a limit that generated maps exceed."""
    for module in ("observe", "resolve"):
        monkeypatch.setattr(
            sys.modules[f"airflow_provider_ddbexport.core.columns.{module}"], "MAX_MEMBERS", request.param
        )


def line_of(item: Any) -> bytes:
    return json.dumps({"Item": item}, separators=(",", ":"), ensure_ascii=False).encode()


def assert_alike(lines: bytes, items: list[Item], options: ColumnOptions) -> None:
    """Both decoders make the same of *lines*, in the columns of *items*."""
    schema = schema_for(items, options)
    if schema is not None:
        difference = compiled_outcome(lines, schema).differs_from(reference_outcome(lines, schema))
        assert difference is None, difference


def test_where_there_is_a_c_compiler_there_is_the_compiled_decoder() -> None:
    """What follows is not skipped by mistake: `make` builds it, and so does installing the checkout again."""
    assert not loading.missing() or not (shutil.which("cc") or shutil.which("gcc") or shutil.which("clang"))


@needs_compiled
@pytest.mark.usefixtures("most_keys")
@generated
@given(items=item_lists(), others=item_lists(), seed=st.integers(0, 1 << 30))
def test_generated_items_are_seen_and_built_alike(items: list[Item], others: list[Item], seed: int) -> None:
    """Whatever the items, their spelling, the options, and the items that the columns were made for."""
    random = Random(seed)
    lines = b"\n".join(spelled(item, random) for item in items) + random.choice([b"", b"\n"] if items else [b""])
    assert_alike(lines, random.choice([items, others]), random_options(random))


@needs_compiled
@pytest.mark.usefixtures("most_keys")
def test_many_random_items_are_seen_and_built_alike() -> None:
    """Larger tables as well, in several batches."""
    rescued = 0
    for seed in range(40 * ROUNDS):
        random = Random(seed)
        items = random_items(random, rows=random.choice([1, 10, 60]))
        lines = b"\n".join(spelled(item, random) for item in items)
        schema = schema_for(random.choice([items, random_items(random, rows=20)]), random_options(random))
        if schema is not None:
            outcome = compiled_outcome(lines, schema)
            difference = outcome.differs_from(reference_outcome(lines, schema))
            assert difference is None, f"seed {seed}: {difference}"
            rescued += sum((outcome.rescued or {}).values())
    assert rescued > 1000


@needs_compiled
def test_damaged_lines_are_refused_or_read_alike() -> None:
    """The same line for the same reason, whatever happened to the bytes; and what still is an item is the same one."""
    refused = 0
    for seed in range(1500 * ROUNDS):
        random = Random(seed)
        items = random_items(random, rows=random.choice([1, 2, 4]))
        lines = damaged(b"\n".join(spelled(item, random) for item in items), random)
        schema = schema_for(items, random_options(random))
        if schema is not None:
            outcome = compiled_outcome(lines, schema)
            difference = outcome.differs_from(reference_outcome(lines, schema))
            assert difference is None, f"seed {seed}: {difference}"
            refused += outcome.refused is not None
    assert refused > 300


def number_texts() -> list[str]:
    random = Random(7)
    edges = ["0", "-0", "0.0", "1", "9" * 18, "9" * 19, "9" * 38, str(2**63 - 1), str(2**63), str(-(2**63)), "-1", "+1"]
    edges += [
        str(-(2**63) - 1),
        "1.",
        ".5",
        "007",
        "00.10",
        "1E3",
        "1e+3",
        "1E-130",
        "9.9E+125",
        "1E126",
        "1E-131",
        "1.0",
    ]
    edges += [
        "0E999999999",
        "1E9999999999",
        "-.5e-7",
        "1" + "0" * 125,
        "0." + "0" * 129 + "1",
        "1" * 39,
        "9" * 17 + ".5",
    ]
    edges += [
        "",
        "-",
        ".",
        "e5",
        "1e",
        "1E+",
        "NaN",
        "1_0",
        "\u0661",
        " 1",
        "1 ",
        "0x1",
        "1.2.3",
        "--1",
        "1" * 38 + "0" * 60,
    ]
    edges += [
        "9007199254740993",
        "0.1",
        "0.30000000000000004",
        "123456789012345.6",
        "1e22",
        "1e23",
        "-0.0",
        "1e-400",
        "0" * 5000,
    ]
    edges += ["0.3", "2.5e-8", "123456789012345678.123456789", "0.1234567890123456789", "999999999999999", "9" * 16]
    return edges + [
        random.choice(["", "-", "+"])
        + "".join(random.choices("0123456789", k=random.randint(0, 40)))
        + random.choice(["", "."])
        + "".join(random.choices("0019", k=random.randint(0, 40)))
        + random.choice(["", "", f"E{random.randint(-170, 170)}"])
        for _ in range(400)
    ]


@needs_compiled
@pytest.mark.parametrize("numbers", ["auto", "double", "string", "decimal(38,0)", "decimal(38,9)", "decimal(38,38)"])
def test_every_spelling_of_a_number_is_read_alike(numbers: str) -> None:
    """Syntax, range, digits, canonical text and what a column holds are the reference's, number by number."""
    texts = number_texts()
    good = [text for text in texts if reference_outcome(line_of({"n": {"N": text}}), NO_COLUMNS).refused is None]
    assert 200 < len(good) < len(texts) - 100
    schemas = [schema_for([{"n": {"N": text}}], ColumnOptions(numbers=numbers)) for text in ("1", "0.5", "1E-100")]
    for text in texts:
        line = line_of({"n": {"N": text}, "s": {"NS": [text]}})
        for schema in schemas:
            assert schema is not None
            difference = compiled_outcome(line, schema).differs_from(reference_outcome(line, schema))
            assert difference is None, (text, difference)


NO_COLUMNS = schema_for([], ColumnOptions())


def deep(levels: int) -> Item:
    value: dict[str, Any] = {"N": "1"}
    for level in range(levels):
        value = {"L": [value, {"NULL": True}]} if level % 2 else {"M": {"k/~": value}}
    return {"a": value}


LARGE: dict[str, Callable[[], list[Item]]] = {
    "400 KB of text": lambda: [
        {"t": {"S": "ab\u00e9\n" * 80_000}, "b": {"B": base64.b64encode(b"\0\xff" * 150_000).decode()}}
    ],
    "a map of 20,000 keys": lambda: [{"m": {"M": {f"k{n}": {"N": str(n)} for n in range(20_000)}}}] * 2,
    "maps of 256 and of 257 keys": lambda: [
        {
            "m": {"M": {f"k{n}": {"M": {"x": {"N": "1"}}} for n in range(256)}},
            "n": {"M": {f"k{n}": {"S": ""} for n in range(257)}},
        },
        {"m": {"M": {"more": {"M": {"y": {"L": [{"M": {}}]}}}}}},
        {"m": {"M": {"k1": {"M": {f"z{n}": {"NS": ["1", "0.5"]} for n in range(300)}}}}},
    ],
    "a list of 50,000 elements": lambda: [
        {"l": {"L": [{"N": str(n)} if n % 7 else {"S": "x"} for n in range(50_000)]}}
    ],
    "32 levels": lambda: [deep(32), deep(31), deep(3)],
    "500 attributes, no two items alike": lambda: [
        {f"attribute_{(n * 7919 + row * 31) % 800}": {"S": str(n)} if n % 2 else {"N": f"{n}.5"} for n in range(500)}
        for row in range(20)
    ],
    "12,000 attributes": lambda: [{f"a{row}-{n}": {"S": "x"} for n in range(1000)} for row in range(12)],
    "1,200 rescued paths": lambda: [
        {"x": {"S": "1"}, **{f"n{n}": {"NULL": True} for n in range(1200)}},
        {"*": {"NULL": True}},
    ],
    "names that collide in paths": lambda: [
        {
            "a/b": {"NULL": True},
            "a": {"M": {"b": {"NULL": True}, "": {"NULL": True}}},
            "~": {"L": [{"M": {"/": {"NULL": True}}}]},
        }
    ],
}


@needs_compiled
@pytest.mark.parametrize("nested", ["struct", "flatten", "json"])
@pytest.mark.parametrize("items", LARGE.values(), ids=LARGE.keys())
def test_large_items_are_seen_and_built_alike(items: Callable[[], list[Item]], nested: Any) -> None:
    """At every limit: of an item, of nesting, of keys in a map, of attributes, of paths that are reported."""
    made = items()
    assert_alike(b"\n".join(map(line_of, made)), made, ColumnOptions(nested=nested))


TEXTS = [
    *(
        '""',
        '"\\u0000"',
        '"\\ud83d\\ude00"',
        '"\\ud800"',
        '"\\udc00\\ud800"',
        '"\\ud800\\u0041"',
        '"\\u00e9\\/"',
        '"\\x"',
        '"\\',
    ),
    *(
        '"\\u12"',
        '"\\u12g4"',
        '"\\uD83D\\uDE00x"',
        '"\t"',
        '"\x7f"',
        '"é😀\\n"',
        '"a" ',
        '"a"x',
        "'a'",
        "1",
        "null",
        '"\\ud83d"',
    ),
]
BYTES = [
    b"\xff",
    b"\xc0\x80",
    b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80",
    b"\xf0\x80\x80\x80",
    b"\xc3",
    b"\xe2\x82",
    b"\xf0\x9f\x98",
]
BYTES += [b"\x80", b"\xdf\xbf", b"\xef\xbf\xbf", b"\xf4\x8f\xbf\xbf", b"\xe0\x9f\xbf", b"\x00", b"\x1f"]


@needs_compiled
@pytest.mark.parametrize("padding", range(0, 34, 3))
def test_every_spelling_of_text_is_read_alike(padding: int) -> None:
    """Escapes, half surrogates and broken UTF-8, wherever they are in the text: text is looked at 16 bytes at once."""
    pad = b"p" * padding
    texts = [text.encode().replace(b'"', b'"' + pad, 1) for text in TEXTS]
    texts += [b'"' + pad + wrong + b'"' for wrong in BYTES] + [b'"' + pad + wrong for wrong in BYTES]
    schema = schema_for([{"a": {"S": ""}}], ColumnOptions())
    assert schema is not None
    for text in texts:
        for line in (
            b'{"Item":{"a":{"S":' + text + b"}}}",
            b'{"Item":{' + text + b':{"S":"x"}}}',
            b'{"Item":{"a":{"S":' + text,
        ):
            for lines in (line, b'{"Item":{}}\n' + line, line + b'\n{"Item":{"a":{"S":"y"}}}'):
                difference = compiled_outcome(lines, schema).differs_from(reference_outcome(lines, schema))
                assert difference is None, (lines, difference)


@needs_compiled
def test_every_beginning_of_a_line_is_refused_alike() -> None:
    """A line that ends early is refused wherever it ends, also where the block ends with it."""
    line = line_of(
        {"a": {"M": {"S": {"SS": ["x\u00e9", "y"]}, "n": {"NS": ["1"]}}}, "b": {"B": "QQ=="}, "t": {"BOOL": False}}
    )
    schema = schema_for([decode_line(line)], ColumnOptions())
    assert schema is not None
    for end in range(len(line)):
        for lines in (line[:end], line + b"\n" + line[:end], line[:end] + b"\n"):
            outcome = compiled_outcome(lines, schema)
            assert outcome.differs_from(reference_outcome(lines, schema)) is None
            assert outcome.refused is not None or lines in (b"", line + b"\n")


@needs_compiled
def test_base64_is_read_as_python_reads_it() -> None:
    """Also in the spellings that Python takes and nobody writes."""
    schema = schema_for([{"b": {"B": ""}}], ColumnOptions())
    assert schema is not None
    alphabet = "AQz9+/=-\n "
    random = Random(3)
    texts = [
        "",
        "=",
        "AA==",
        "AB==",
        "AAA=",
        "AAAA=",
        "AAAA==",
        "AAAA====",
        "AA==AA==",
        "A===",
        "AA===",
        "====",
        "A" * 4000,
    ]
    texts += ["".join(random.choices(alphabet, k=random.randint(0, 12))) for _ in range(1500)]
    for text in texts:
        line = line_of({"b": {"B": text}, "c": {"BS": [text]}})
        difference = compiled_outcome(line, schema).differs_from(reference_outcome(line, schema))
        assert difference is None, (text, difference)


@needs_compiled
def test_batches_end_at_the_row_that_reaches_a_limit() -> None:
    """Rows and bytes are counted as the reference counts them, and the rest of the lines waits for the next call."""
    items: list[Item] = [{"t": {"S": "x" * 100}} for _ in range(10)]
    lines = b"\n".join(map(line_of, items)) + b"\n"
    schema = schema_for(items, ColumnOptions())
    assert schema is not None
    builder = block_builder(decode_line, schema)
    start = builder.add_lines(lines, 0, most_rows=3, most_bytes=1 << 40)
    assert (builder.rows, builder.bytes, lines[:start].count(b"\n")) == (3, 3 * 116, 3)
    start = builder.add_lines(lines, start, most_rows=100, most_bytes=5 * 116 - 1)
    assert (builder.rows, lines[:start].count(b"\n")) == (5, 5)
    assert builder.finish().num_rows == 5
    start = builder.add_lines(lines, start, most_rows=100, most_bytes=1 << 40)
    assert (builder.finish().column(0).to_pylist(), start) == (["x" * 100] * 5, len(lines))


def strange_items(rows: int) -> list[Item]:
    """Return items whose attributes hold anything, some of which can be in a path."""
    random = Random(5)
    texts = ["a", "b", "", "a/b", "__HIVE_DEFAULT_PARTITION__", "\n", "\u00e9" * 200, '"']
    numbers = ["1", "1.0", "1E0", "-0", "0", "2.50", "9" * 38, "1E-130"]
    return [
        {
            **item,
            "Kind": {"S": random.choice(texts)} if row % 9 else item.get("M", {"NULL": True}),
            "Number": {"N": random.choice(numbers)},
            **({"Flag": {"BOOL": row % 4 == 0}} if row % 3 else {}),
            "t": {"S": "x" * 500},
            # Base64 that Python takes and nobody writes, so that some lines go the way of the reference.
            **({"odd": {"B": "AAAA="}} if row % 50 == 0 else {}),
        }
        for row, item in enumerate(random_items(random, rows=rows))
    ]


@needs_compiled
@pytest.mark.parametrize(
    "options",
    [
        ColumnOptions(),
        ColumnOptions(nested="json"),
        ColumnOptions(nested="flatten", partition_by=("Kind",)),
        ColumnOptions(partition_by=("Flag", "Number")),
        ColumnOptions(numbers="double", partition_by=("Number", "Kind")),
    ],
    ids=["struct", "json", "by text", "by boolean and number", "by double and text"],
)
def test_both_decoders_write_the_same_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: ColumnOptions
) -> None:
    """Byte for byte, so that it does not matter on which machine a shard is converted again."""
    items = strange_items(800)
    records = {}
    for name in ("compiled", "reference"):
        monkeypatch.setenv(DECODER_VARIABLE, name)
        root, export = write_export(tmp_path / name, items, files=3)
        lake = LocalStore(tmp_path / name / "lake")
        records[name] = convert_export(root, export, lake, options=options, rows_per_part=300, part_bytes=1 << 18)
    assert records["compiled"].parts == records["reference"].parts
    assert records["compiled"].schema == records["reference"].schema
    assert len(records["compiled"].parts) > 2


@pytest.mark.parametrize("name", ["compiled", "reference"])
def test_a_line_that_is_no_item_is_reported_with_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Both decoders name the file, the line and the offset, when verifying and when converting."""
    monkeypatch.setenv(DECODER_VARIABLE, name)
    items: list[Any] = [{"a": {"S": "x"}}] * 5000
    items[4321] = {"a": {"N": "1e"}}
    root, export = write_export(tmp_path, items, files=1)
    offset = 4321 * len('{"Item": {"a": {"S": "x"}}}\n')
    for work in (
        lambda: verify_export(root, export),
        lambda: convert_export(root, export, LocalStore(tmp_path / "lake")),
    ):
        with pytest.raises(ItemError) as caught:
            work()
        assert (caught.value.context["line"], caught.value.context["offset"]) == (4322, offset)
        assert caught.value.context["reason"] == "a number (N) is not decimal digits"


def test_without_the_compiled_decoder_everything_works_and_the_log_says_so_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As on a machine without a C compiler."""

    def no_kernel(name: str) -> None:
        raise ImportError(f"No module named {name!r}")

    monkeypatch.delenv(DECODER_VARIABLE, raising=False)
    monkeypatch.setattr(importlib, "import_module", no_kernel)
    loading.load.cache_clear()
    try:
        root, export = write_export(tmp_path, [{"a": {"S": "x"}}] * 10, files=2)
        with caplog.at_level(logging.INFO, logger=loading.__name__):
            assert convert_export(root, export, LocalStore(tmp_path / "lake")).rows == 10
            assert "this installation has no compiled one" in decoder.describe()
    finally:
        loading.load.cache_clear()
    messages = [record.message for record in caplog.records if record.name == loading.__name__]
    for told in (NO_DECODER, NO_DECODER.replace("_kernel", "_thrift")):
        assert sum(message.startswith(told) for message in messages) == 1


@needs_compiled
def test_a_compiled_module_that_is_missing_alone_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a wheel that was built without it: what needs it is slow, though lines are read quickly."""
    monkeypatch.delenv(DECODER_VARIABLE, raising=False)
    assert decoder.describe() == "compiled decoder"
    imported = importlib.import_module

    def all_but_one(name: str) -> Any:
        if name.endswith("._splice"):
            raise ImportError(name)
        return imported(name)

    monkeypatch.setattr(importlib, "import_module", all_but_one)
    loading.load.cache_clear()
    try:
        assert decoder.describe() == "compiled decoder, slower in part: this installation has no _splice"
    finally:
        loading.load.cache_clear()


@needs_compiled
def test_a_checkout_whose_sources_changed_since_they_were_built_does_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """After a pull, say: the log says once what to do, and installing again cures it."""
    monkeypatch.delenv(DECODER_VARIABLE, raising=False)
    shutil.copytree(sources.FOLDER, tmp_path / "compiled")
    monkeypatch.setattr(sources, "FOLDER", tmp_path / "compiled")
    for module in loading.MODULES:
        sources.note_sources(module)
    with (tmp_path / "compiled/changes.h").open("a") as header:
        header.write("// One line more.\n")
    sources.sources_digest.cache_clear()
    loading.load.cache_clear()
    try:
        with caplog.at_level(logging.INFO, logger=loading.__name__):
            assert loading.missing() == loading.missing() == list(loading.MODULES)
        assert decoder.describe().endswith("the compiled one is of other sources, install them again")
        root, export = write_export(tmp_path, [{"a": {"S": "x"}}] * 10, files=2)
        assert convert_export(root, export, LocalStore(tmp_path / "lake")).rows == 10
        for module in loading.MODULES:
            sources.note_sources(module)
        loading.load.cache_clear()
        assert decoder.describe() == "compiled decoder"
    finally:
        loading.load.cache_clear()
    told = [record.message for record in caplog.records if record.name == loading.__name__]
    assert len(told) == len(loading.MODULES)
    assert all("Install the checkout again (make, or pip install -e .)" in message for message in told)


@needs_compiled
def test_an_editable_install_notes_what_it_built() -> None:
    """In a file beside each module; where there is none, as in a wheel, nothing is compared."""
    for module in loading.MODULES:
        assert sources.note_of(module).read_text() == sources.sources_digest(sources.FOLDER)
    assert not sources.is_outdated("_other")


def test_every_compiled_module_is_known() -> None:
    """To the loader, and so to whoever asks what is missing."""
    folder = Path(loading.__file__).parent
    assert sorted(path.stem for path in folder.glob("_*.pyx")) == sorted(loading.MODULES)


def test_the_environment_turns_the_compiled_decoder_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """For comparing, and for whoever does not trust it."""
    monkeypatch.setenv(DECODER_VARIABLE, "reference")
    assert decoder.describe() == f"reference decoder, as {DECODER_VARIABLE} asks for"
    assert NO_COLUMNS is not None
    assert isinstance(block_builder(decode_line, NO_COLUMNS), ReferenceBuilder)
    observer = line_observer(decode_line)
    with pytest.raises(RefusedLineError):
        observer.take(b'{"Item":{}}\nx')
    assert observer.observation().items == 1
