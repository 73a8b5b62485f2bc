"""The compiled part makes of increments what the reference makes of them."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path
from random import Random

import pytest
from change_fuzz import damaged_windows, outcome_of, random_windows
from hypothesis import given, settings
from hypothesis import strategies as st
from increments import change

from airflow_provider_ddbexport.core.compiled.loading import load
from airflow_provider_ddbexport.core.merge import settled as settling
from airflow_provider_ddbexport.core.merge import spill as spilling

compiled = load("_changes")
pytestmark = pytest.mark.skipif(compiled is None, reason="there is no compiled part")

seeds = st.integers(0, 2**32)


@settings(max_examples=300, deadline=None, database=None)
@given(seed=seeds)
def test_it_makes_the_same_of_every_spelling(seed: int) -> None:
    """Keys with escapes, numbers and binaries, of one or two attributes; images or none; members in any order."""
    windows = random_windows(Random(seed))
    assert outcome_of(windows, compiled, seed) == outcome_of(windows, None, seed)


@settings(max_examples=300, deadline=None, database=None)
@given(seed=seeds)
def test_it_refuses_the_same_lines_for_the_same_reasons(seed: int) -> None:
    """Whatever damage was done to them, and takes those that are changes still."""
    random = Random(seed)
    windows = damaged_windows(random_windows(random), random)
    assert outcome_of(windows, compiled, seed) == outcome_of(windows, None, seed)


def test_what_is_generated_is_mostly_taken_and_damage_is_mostly_refused() -> None:
    """The tests above look at both."""
    taken = refused = 0
    for seed in range(100):
        random = Random(seed)
        windows = random_windows(random)
        taken += outcome_of(windows, compiled, seed).refused is None
        refused += outcome_of(damaged_windows(windows, random), compiled, seed).refused is not None
    assert taken > 80
    assert refused > 50


def test_files_and_blocks_of_lines_may_end_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where buckets are written often, and lines are handed out few at a time."""
    monkeypatch.setattr(spilling, "WAITING_BYTES", 300)
    monkeypatch.setattr(settling, "_BLOCK_BYTES", 200)
    for seed in range(30):
        windows = random_windows(Random(seed), most_lines=60)
        assert outcome_of(windows, compiled, seed) == outcome_of(windows, None, seed)


def test_the_usual_line_is_not_left_to_the_reference() -> None:
    """But for the first of all, which tells what keys are made of."""
    assert compiled is not None
    key = {"User": {"S": 'é "x"'}, "Book": {"N": "1.50"}}
    line = json.dumps(change(7, key, key, {**key, "v": {"B": "QQ=="}})).encode() + b"\n"
    dealer = compiled.Dealer((b"Book", b"User"), 1, 1 << 20)
    assert dealer.deal(5 * line, 0, 0, True, None) == (5, 5 * len(line), -1)


def test_no_line_that_aws_wrote_is_left_to_the_reference(real_exports: Path) -> None:
    """Once it is known what keys are made of."""
    assert compiled is not None
    dealt = 0
    for path in (real_exports / "full-and-incremental-2026/AWSDynamoDB/data").glob("*.json.gz"):
        lines = gzip.decompress(path.read_bytes())
        if b'"Metadata"' in lines:
            names = tuple(name.encode() for name in sorted(json.loads(lines.splitlines()[0])["Keys"]))
            count, end, _ = compiled.Dealer(names, 1, 1 << 20).deal(lines, 0, 0, True, None)
            assert end == len(lines)
            dealt += count
    assert dealt == 11


def test_a_bucket_that_is_full_is_handed_over() -> None:
    """So that what waits in memory is bounded; the lines behind it are dealt after that."""
    assert compiled is not None
    lines = [json.dumps(change(7, {"Book": {"S": f"{n}"}}, None, None)).encode() + b"\n" for n in range(100)]
    block = b"".join(lines)
    dealer = compiled.Dealer((b"Book",), 3, 200)
    start = dealt = 0
    taken = []
    while start < len(block):
        count, start, full = dealer.deal(block, start, 0, True, None)
        dealt += count
        if full >= 0:
            taken.append(io.BytesIO())
            dealer.write(full, taken[-1])
    assert dealt == 100
    assert len(taken) > 3
    assert all(200 < file.tell() < 250 for file in taken)


def test_a_long_line_leaves_no_room_behind() -> None:
    """Each bucket takes at most twice what it may hold, whatever it held once, so that all together are bounded."""
    assert compiled is not None
    most_waiting, buckets = 1000, 20
    dealer = compiled.Dealer((b"Book",), buckets, most_waiting)
    most_room = 0
    for size in (400_000, 50):
        for number in range(200):
            key = {"Book": {"S": f"{number}"}}
            line = json.dumps(change(7, key, None, {**key, "v": {"S": "v" * size}})).encode()
            _, _, full = dealer.deal(line, 0, 0, True, None)
            most_room = max(most_room, dealer.room)
            if full >= 0:
                dealer.write(full, io.BytesIO())
            assert dealer.room <= buckets * 2 * most_waiting
    assert 400_000 < most_room < 800_000
    assert dealer.room > 0


def test_what_is_no_file_of_changes_is_refused() -> None:
    """Nothing beyond its end is read."""
    assert compiled is not None
    dealer = compiled.Dealer((b"Book",), 1, 1 << 20)
    dealer.deal(json.dumps(change(7, {"Book": {"S": "a"}}, None, None)).encode(), 0, 0, True, None)
    file = io.BytesIO()
    dealer.write(0, file)
    spilled = file.getvalue()
    assert compiled.Settled(spilled, [0]).changed == 1
    assert compiled.Settled(b"", [0]).changed == 0
    for cut in range(1, len(spilled)):
        with pytest.raises(ValueError, match="no file of changes"):
            compiled.Settled(spilled[:cut], [0])
    with pytest.raises(ValueError, match="no file of changes"):
        compiled.Settled(spilled, [])
