"""Records as blocks of their tables: every example, nulls, nested records, packed columns, tombstones."""

import dataclasses

import numpy as np
import pytest

from sink.blocks import Blocks
from sink.entries import Chunk, Entry, Refusal
from sink.native import Unencodable
from sink.storing import fitting
from sink.tables import TABLES


@pytest.fixture
def build(blocks_in, record):
    """Build the block of some values of a topic and read it back."""

    def build(topic, values, **extra):
        blocks = Blocks(TABLES[topic], topic=topic, partition=3, run_id="r1")
        entries = [Entry(record(10 + i, timestamp_ms=5_000 + i), v, 0) for i, v in enumerate(values)]
        body, rows = blocks.build(entries, **extra)
        (block,) = blocks_in(body)
        assert {len(column) for column in block.columns.values()} == {rows}
        return block

    return build


@pytest.mark.parametrize("topic", sorted(TABLES))
def test_every_example_fits_one_block_with_the_columns_of_its_table(build, examples, topic) -> None:
    block = build(topic, examples[topic])
    assert list(block.names) == [column.name for column in TABLES[topic].columns]
    assert set(block.rows("_topic", "_partition", "run_id")) == {(topic, 3, "r1")}
    assert set(block.columns["_offset"]) == {10 + i for i in range(len(examples[topic]))}


def test_fields_keep_their_values_and_null_stays_null(build, examples) -> None:
    trades = examples["market.trades"]
    block = build("market.trades", trades)
    for name in ("trade_id", "price", "iv", "taker_side", "liquidated_side", "block_leg_count", "trade_seq"):
        assert list(block.columns[name]) == [getattr(trade, name) for trade in trades]
    assert any(trade.iv is None for trade in trades)
    assert list(block.columns["_timestamp_ms"]) == [5_000 + i for i in range(len(trades))]


def test_an_array_of_records_becomes_an_array_per_field(build, examples) -> None:
    exposures = examples["dealer.exposure"]
    block = build("dealer.exposure", exposures)
    for name in ("strike", "call_ngi_usd_per_pct"):
        expected = [[getattr(row, name) for row in exposure.by_strike] for exposure in exposures]
        assert [list(values) for values in block.columns[f"by_strike.{name}"]] == expected
    sigmas = [[flip.distance_sigmas for flip in exposure.flips] for exposure in exposures]
    assert [list(values) for values in block.columns["flips.distance_sigmas"]] == sigmas


def test_a_chain_becomes_a_row_per_option_in_its_order(build, examples) -> None:
    chain = next(record for record in examples["options.greeks"] if record.instruments)
    block = build("options.greeks", [chain, chain])
    n = len(chain.instruments)
    assert list(block.columns["instrument"]) == list(chain.instruments) * 2
    assert list(block.columns["_row"]) == list(range(n)) * 2
    assert list(block.columns["_offset"]) == [10] * n + [11] * n
    vols = np.frombuffer(chain.vol, "<f8")
    assert list(block.columns["vol"]) == [None if np.isnan(vol) else vol for vol in vols] * 2
    assert None in block.columns["vol"]
    assert list(block.columns["quality"]) == list(chain.quality) * 2
    assert set(block.columns["spot"]) == {chain.spot}


def test_a_chain_without_options_still_has_a_row_so_that_its_offset_is_known(build, examples) -> None:
    empty = next(record for record in examples["options.greeks"] if not record.instruments)
    full = next(record for record in examples["options.greeks"] if record.instruments)
    block = build("options.greeks", [empty, full])
    rows = block.rows("_offset", "instrument", "strike", "is_call", "expiry_ts", "status")
    assert rows[0] == (10, "", None, None, None, "suppressed")
    assert [row[0] for row in rows[1:]] == [11] * len(full.instruments)


def test_a_tombstone_is_a_row_with_its_key_its_time_and_nothing_else(build, examples) -> None:
    block = build("market.instruments", [examples["market.instruments"][0], None])
    live, gone = (dict(zip(block.names, row, strict=True)) for row in block.rows(*block.names))
    assert (live["_tombstone"], gone["_tombstone"]) == (0, 1)
    assert (gone["_key"], gone["received_ts"].microsecond, gone["received_ts"].second) == ("key", 1_000, 5)
    described = {"_key", "_tombstone", "received_ts", "_topic", "_partition", "_offset", "_timestamp_ms", "run_id"}
    rest = [value for name, value in gone.items() if name not in described]
    assert len(rest) > 10
    assert not [value for value in rest if value is not None and len(value)]


def test_a_packed_column_of_the_wrong_length_names_column_and_lengths(build, examples) -> None:
    chain = next(record for record in examples["options.greeks"] if record.instruments)
    with pytest.raises(Unencodable, match=rf"vol: 8 bytes for {len(chain.instruments)} instruments of 8"):
        build("options.greeks", [dataclasses.replace(chain, vol=bytes(8))])


def test_a_record_that_does_not_fit_is_found_and_its_neighbours_are_kept(examples, record) -> None:
    good = examples["market.books"][0]
    bad = dataclasses.replace(good, n_updates=2**40)
    blocks = Blocks(TABLES["market.books"], topic="market.books", partition=0, run_id="")
    values = [good, good, bad, good, good, good, bad]
    chunk = Chunk(tuple(Entry(record(i), value, 0) for i, value in enumerate(values)))
    parts = list(fitting(blocks, chunk))
    refused = {part.record.offset: part.reason for part in parts if isinstance(part, Refusal)}
    kept = [entry.record.offset for part in parts if not isinstance(part, Refusal) for entry in part.chunk.entries]
    assert refused == {2: "does_not_fit", 6: "does_not_fit"}
    assert kept == [0, 1, 3, 4, 5]
    assert all("n_updates" in part.detail for part in parts if isinstance(part, Refusal))
