"""Both services wired as they run, over logs in memory: the clocks agree and how the log is read does not matter."""

import zlib

import pytest

from contracts.records import Clock, TopicCount
from contracts.wire import WIRE_HEADER_BYTES, Codecs
from dealer_flow.pipeline import build as build_flow
from dealer_flow.settings import DealerFlowSettings
from greeks.pipeline import build as build_greeks
from greeks.settings import GreeksSettings
from streamkit.drive import Fed, decoded, drive, output_digest, refeed

START = 1_800_000_000
NOWHERE = {"bootstrap_servers": "127.0.0.1:1", "registry_url": "http://127.0.0.1:1"}
VENUES = ("binance-usdm", "deribit")


def market_log(codecs: Codecs, units: list[tuple[str, int, list, list]]) -> dict[str, list[Fed]]:
    """Tickers, trades and their barrier as the normalizer writes them."""
    log: dict[str, list[Fed]] = {"market.tickers": [], "market.trades": [], "market.clock": []}
    totals: dict[tuple[str, str], tuple[int, int]] = {}
    for venue, second, tickers, trades in units:
        counts = []
        for topic, records in (("market.tickers", tickers), ("market.trades", trades)):
            values = [codecs.encode(topic, record) for record in records]
            log[topic] += [Fed(r.instrument, v, second * 1000) for r, v in zip(records, values, strict=True)]
            total, running = totals.get((venue, topic), (0, 0))
            digest = 0
            for value in values:
                digest = zlib.crc32(value[WIRE_HEADER_BYTES:], digest)
                running = zlib.crc32(value[WIRE_HEADER_BYTES:], running)
            totals[venue, topic] = total + len(values), running
            counts.append(
                TopicCount(
                    topic=topic,
                    records=len(values),
                    total_records=total + len(values),
                    digest=digest,
                    running_digest=running,
                )
            )
        clock = Clock(
            venue=venue,
            underlying="BTC",
            second=second,
            received_ts=second * 1_000_000,
            skipped_seconds=0,
            input_records=0,
            rejected_records=0,
            topics=tuple(counts),
        )
        log["market.clock"].append(Fed("BTC", clock, second * 1000))
    return log


@pytest.fixture
def log(make_ticker, make_trade) -> dict[str, list[Fed]]:
    units = []
    for k in range(START, START + 4):
        names = [f"O{n}" for n in range(6)] if k != START + 2 else []
        tickers = [make_ticker(instrument=name, second=k, strike=90_000.0 + 5_000 * int(name[1])) for name in names]
        units.append(("binance-usdm", k, [], [make_trade(f"p{k}", venue="binance-usdm", kind="perpetual")]))
        units.append(("deribit", k, tickers, [make_trade(f"d{k}", instrument="O1")]))
    return market_log(Codecs.offline(), units)


def run(log: dict[str, list[Fed]], batch: int) -> dict[str, list]:
    codecs = Codecs.offline()
    tickers = {topic: log[topic] for topic in ("market.tickers", "market.clock")}
    priced = drive(build_greeks(GreeksSettings(**NOWHERE)), tickers, codecs, partition=2, batch=batch)
    inputs = {
        "market.trades": log["market.trades"],
        "market.clock": log["market.clock"],
        "options.greeks": refeed(priced["options.greeks"]),
        "options.clock": refeed(priced["options.clock"]),
    }
    return priced | drive(build_flow(DealerFlowSettings(**NOWHERE)), inputs, codecs, partition=2, batch=batch)


def test_every_unit_is_closed_in_order_and_every_second_has_both_exposures(log) -> None:
    out = run(log, 500)
    codecs = Codecs.offline()
    clocks = decoded(codecs, out["options.clock"])
    assert [(c.second, c.venue) for c in clocks] == [(k, v) for k in range(START, START + 4) for v in VENUES]
    exposures = decoded(codecs, out["dealer.exposure"])
    assert [(e.second, e.sign_model) for e in exposures] == [
        (k, model) for k in range(START, START + 4) for model in ("naive", "taker_mirror")
    ]
    assert {e.status for e in exposures} == {"ok"}
    last = [row for row in decoded(codecs, out["dealer.inventory"]) if row.instrument == "O1"][-1]
    assert (last.sign_model, last.position_base) == ("taker_mirror", -4.0)


@pytest.mark.parametrize("batch", [1, 3])
def test_the_batch_size_changes_no_byte(log, batch: int) -> None:
    expected, got = run(log, 500), run(log, batch)
    assert expected.keys() == got.keys()
    for topic, records in expected.items():
        assert output_digest(records) == output_digest(got[topic]), topic


def test_settings_reach_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAMMAFLOW_OPTION_VENUES", "deribit, okx")
    monkeypatch.setenv("GAMMAFLOW_MAX_INPUT_AGE_S", "45")
    monkeypatch.setenv("GAMMAFLOW_MIN_COVERAGE", "0.8")
    monkeypatch.setenv("GAMMAFLOW_MAX_SPOT_AGE_S", "5")
    pricer = GreeksSettings(**NOWHERE).pricer_config()
    limits = DealerFlowSettings(**NOWHERE).flow_config().limits
    assert (pricer.option_venues, pricer.max_input_age_ms) == (frozenset({"deribit", "okx"}), 45_000)
    assert (limits.min_coverage, limits.max_spot_age_ms) == (0.8, 5_000.0)
