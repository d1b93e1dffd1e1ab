"""The Native writer against clickhouse-connect's reader; the engine itself has its say in tests/integration."""

import math
from array import array
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sink import native

TEXT = st.text(max_size=200)
VALUES = {
    "String": TEXT,
    "Nullable(String)": st.none() | TEXT,
    "UInt8": st.integers(0, 255),
    "UInt16": st.integers(0, 2**16 - 1),
    "UInt32": st.integers(0, 2**32 - 1),
    "UInt64": st.integers(0, 2**64 - 1),
    "Int32": st.integers(-(2**31), 2**31 - 1),
    "Int64": st.integers(-(2**63), 2**63 - 1),
    "Nullable(Int64)": st.none() | st.integers(-(2**63), 2**63 - 1),
    "Float64": st.floats(allow_nan=False),
    "Nullable(Float64)": st.none() | st.floats(allow_nan=False),
    "Bool": st.booleans(),
    "Nullable(Bool)": st.none() | st.booleans(),
    "Array(Float64)": st.lists(st.floats(allow_nan=False), max_size=5),
    "Array(String)": st.lists(TEXT, max_size=5),
    "Array(Nullable(Float64))": st.lists(st.none() | st.floats(allow_nan=False), max_size=5),
    "Array(Array(Int64))": st.lists(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=3), max_size=3),
}
COLUMN = st.sampled_from(sorted(VALUES)).flatmap(
    lambda kind: st.tuples(st.just(kind), st.lists(VALUES[kind], min_size=1, max_size=40))
)


def as_lists(value: object) -> object:
    return [as_lists(item) for item in value] if isinstance(value, list | tuple | array) else value


@given(COLUMN)
def test_what_is_written_is_read_back(blocks_in, column) -> None:
    """One block, the same values in the same order, for every type in use."""
    kind, values = column
    (block,) = blocks_in(native.block([("c", kind, native.encoder(kind)(values))], len(values)))
    assert [block.types, as_lists(block.columns["c"])] == [[kind], values]


@given(st.sampled_from(sorted(VALUES)).flatmap(lambda k: st.tuples(st.just(k), VALUES[k])), st.integers(1, 50))
def test_a_repeated_value_is_that_value_in_every_row(column, rows) -> None:
    kind, value = column
    assert native.repeated(kind, value, rows) == native.encoder(kind)([value] * rows)


def test_times_are_written_in_their_own_unit(blocks_in) -> None:
    kinds = {"s": "DateTime('UTC')", "u": "DateTime64(6, 'UTC')", "n": "Nullable(DateTime64(6, 'UTC'))"}
    rows = {"s": [1_767_225_600], "u": [1_767_225_600_000_001], "n": [None]}
    parts = [(name, kind, native.encoder(kind)(rows[name])) for name, kind in kinds.items()]
    (block,) = blocks_in(native.block(parts, 1))
    (second,), (micros,), (none,) = block.columns.values()
    assert second.replace(tzinfo=UTC) == datetime(2026, 1, 1, tzinfo=UTC)
    assert micros.replace(tzinfo=UTC) == datetime(2026, 1, 1, microsecond=1, tzinfo=UTC)
    assert none is None


def test_nan_is_unknown_and_becomes_null(blocks_in) -> None:
    data = native.encoder("Nullable(Float64)")([1.0, math.nan, None])
    (block,) = blocks_in(native.block([("c", "Nullable(Float64)", data)], 3))
    assert list(block.columns["c"]) == [1.0, None, None]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("Int32", 2**31),
        ("UInt64", -1),
        ("DateTime('UTC')", 2**32),
        ("Int64", None),
        ("Float64", "x"),
        ("Nullable(Float64)", "x"),
        ("Nullable(Int64)", "x"),
        ("Array(Int32)", [2**31]),
    ],
)
def test_a_value_outside_its_type_is_refused_by_name(kind, value) -> None:
    """Never wrapped around, never cut off."""
    with pytest.raises(native.Unencodable, match=r"Int|Float|Date"):
        native.encoder(kind)([value])


def test_an_unknown_type_is_refused() -> None:
    with pytest.raises(native.Unencodable, match="Decimal"):
        native.encoder("Decimal(9, 2)")
