"""Every example of the contract through the real broker into the real engine: types, nulls, nested, exploded."""

import dataclasses
import importlib.util
import math
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from contracts.examples import load_examples
from sink.clickhouse import Address
from sink.migrate import MigrationRefused, migrate, prepare, shipped
from sink.tables import DEADLETTER_TABLE, TABLES, table_name

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.integration]


def load_scene():
    name = "sink_scene"
    spec = importlib.util.spec_from_file_location(name, ROOT / "tests" / "sink" / "scene.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


EXAMPLES = {topic: [r for _, r in load_examples(ROOT / "schemas" / "examples", topic)] for topic in TABLES}
RAW = sorted(topic for topic in TABLES if topic.startswith("raw."))
DERIVED = sorted(set(TABLES) - set(RAW))


@pytest.fixture(scope="module")
def scene(stack, tmp_path_factory):
    """All examples, written twice with a restart of the sink between."""
    module = load_scene()
    scene = module.Scene(stack, "tsinkexamples", tmp_path_factory.mktemp("sink"))
    for _ in range(2):
        for topic in DERIVED:
            scene.write(topic, [scene.codecs.encode(topic, value) for value in EXAMPLES[topic]])
        for topic in ("market.instruments", "dealer.inventory", "thresholds"):
            scene.write(topic, [None])
        with scene.sink() as process:
            scene.wait_until_stored(process)
    yield scene
    scene.drop()


@pytest.fixture
def query(scene):
    with scene.client() as client:
        yield lambda sql: client.query(sql).result_rows


def test_every_record_of_every_topic_is_there_once(scene) -> None:
    assert set(scene.ledger) == {(topic, 1) for topic in DERIVED}
    scene.assert_exact()


@pytest.mark.parametrize("topic", DERIVED)
def test_both_copies_hold_the_same_values(scene, query, topic) -> None:
    """The second process stored what the first did; only place and time differ."""
    columns = [c.name for c in TABLES[topic].columns if c.name not in {"_offset", "_timestamp_ms"}]
    half = len(scene.ledger[topic, 1]) // 2
    names = ", ".join(f"`{name}`" for name in columns)
    rows = query(f"SELECT _offset, {names} FROM {table_name(topic)} ORDER BY _offset{order_within(topic)}")
    assert len(rows) == 2 * len([row for row in rows if row[0] < half])
    assert [row[1:] for row in rows if row[0] < half] == [row[1:] for row in rows if row[0] >= half]


def order_within(topic: str) -> str:
    return ", _row" if TABLES[topic].exploded else ""


@pytest.mark.parametrize("table", [*TABLES.values(), DEADLETTER_TABLE], ids=lambda table: table.name)
def test_a_table_has_the_columns_its_schema_asks_for(query, scene, table) -> None:
    """Whatever migrations did it: names, types and comments."""
    rows = query(
        "SELECT name, type, comment FROM system.columns WHERE database = currentDatabase() "
        f"AND table = '{table.name}' AND default_kind = '' ORDER BY position"
    )
    assert rows == [(column.name, column.type, column.comment) for column in table.columns]


def test_scalars_keep_value_and_null(query) -> None:
    trade = EXAMPLES["market.trades"][0]
    names = "trade_id, price, amount_base, iv, taker_side, liquidated_side, block_leg_count, received_ts, exchange_ts"
    row = query(f"SELECT {names} FROM market_trades WHERE _offset = 0")[0]
    assert row[:7] == (
        trade.trade_id,
        trade.price,
        trade.amount_base,
        trade.iv,
        trade.taker_side,
        trade.liquidated_side,
        trade.block_leg_count,
    )
    assert micros(row[7]) == trade.received_ts
    assert micros(row[8]) == trade.exchange_ts


def micros(moment: datetime) -> int:
    whole = moment.replace(tzinfo=UTC, microsecond=0)
    return int(whole.timestamp()) * 1_000_000 + moment.microsecond


def test_seconds_can_be_asked_for_by_epoch(query) -> None:
    ticker = EXAMPLES["market.tickers"][0]
    same = f"second = {ticker.second} AND toUnixTimestamp(second) = {ticker.second}"
    sql = f"SELECT count() FROM market_tickers WHERE {same}"
    assert query(sql)[0][0] >= 2


def test_nested_records_are_arrays_of_equal_length(query) -> None:
    exposure = next(record for record in EXAMPLES["dealer.exposure"] if record.by_strike)
    names = "by_strike.strike, by_strike.ngi_usd_per_pct, flips.distance_sigmas"
    strikes, ngi, sigmas = query(f"SELECT {names} FROM dealer_exposure WHERE status = 'ok'")[0]
    assert strikes == [row.strike for row in exposure.by_strike]
    assert ngi == [row.ngi_usd_per_pct for row in exposure.by_strike]
    assert sigmas == [flip.distance_sigmas for flip in exposure.flips]


def test_a_chain_is_a_row_per_option_with_null_for_nan(query) -> None:
    offset, chain = next((i, record) for i, record in enumerate(EXAMPLES["options.greeks"]) if record.instruments)
    rows = query(
        f"SELECT instrument, vol, strike, is_call, gamma FROM options_greeks WHERE _offset = {offset} ORDER BY _row"
    )
    known = [None if math.isnan(vol) else vol for vol in np.frombuffer(chain.vol, "<f8")]
    assert [row[0] for row in rows] == list(chain.instruments)
    assert [row[1] for row in rows] == known
    assert None in known
    assert [row[2] for row in rows] == list(np.frombuffer(chain.strike, "<f8"))
    assert [row[3] for row in rows] == [bool(flag) for flag in chain.is_call]


def test_a_tombstone_hides_its_key_in_the_newest_state(query) -> None:
    sql = "SELECT _key FROM {} GROUP BY _key HAVING argMax(_tombstone, _offset) = 0"
    assert query(sql.format("market_instruments")) == []
    assert query("SELECT sum(_tombstone), count() FROM market_instruments WHERE _key = 'key'")[0][0] == 2


def test_views_answer(query) -> None:
    latest = query("SELECT sign_model FROM v_exposure_latest")
    assert latest == [], "views show the live run only"
    for view in ("v_flip_history", "v_latency"):
        assert query(f"SELECT count() FROM {view}") == [(0,)]


def test_raw_topics_are_stored_by_the_live_run(stack, tmp_path) -> None:
    module = load_scene()
    scene = module.Scene(stack, "", tmp_path, topics=RAW)
    scene.database = "t_sinkraw"
    try:
        for topic in RAW:
            scene.write(topic, [scene.codecs.encode(topic, value) for value in EXAMPLES[topic]])
        with scene.sink() as process:
            scene.wait_until_stored(process)
        for (topic, partition), offsets in scene.ledger.items():
            assert [offset for offset in scene.stored(topic, partition) if offset in offsets] == offsets
        raw = dataclasses.astuple(EXAMPLES["raw.deribit"][0])
        with scene.client() as client:
            where = f"_offset = {scene.ledger['raw.deribit', 1][0]} AND _partition = 1"
            row = client.query(f"SELECT conn_id, seq, kind, payload FROM raw_deribit WHERE {where}").result_rows[0]
        assert set(row[:3]) <= set(raw)
        assert row[3] == EXAMPLES["raw.deribit"][0].payload.decode()
    finally:
        scene.drop()


def test_migrations_go_back_and_forth_and_refuse_a_changed_file(scene) -> None:
    address = Address(url=scene.clickhouse_url, database="t_sinkmigrate", user="default", password="")
    try:
        assert prepare(address) == [f"applied {m.number:04d} {m.name}" for m in shipped()]
        assert prepare(address) == []
        back = prepare(address, to=0)
        assert back == [f"took back {m.number:04d} {m.name}" for m in reversed(shipped())]
        with scene.client() as client:
            left = client.query("SELECT name FROM system.tables WHERE database = 't_sinkmigrate'").result_rows
            assert left == [("schema_migrations",)]
        prepare(address)
        first, *rest = shipped()
        changed = dataclasses.replace(first, up=first.up + "\n-- a thought\n")
        with scene.client() as client:
            client.database = "t_sinkmigrate"
            with pytest.raises(MigrationRefused, match="0001_tables was changed"):
                migrate(client, [changed, *rest])
    finally:
        with scene.client() as client:
            client.command("DROP DATABASE IF EXISTS t_sinkmigrate SYNC")
