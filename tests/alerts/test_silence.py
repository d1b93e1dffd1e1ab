"""no_data by literals: holes in the log, clocks that stop, what clears them."""

import json

import pytest

from alerts.engine import Engine


@pytest.fixture
def engine(silence_rule):
    return Engine((silence_rule,))


@pytest.fixture
def told(start):
    """told(alerts): (state, seconds after the start) of each."""
    return lambda alerts: [(event.state, event.second - start) for event in alerts]


def feed(engine, records, now=0.0):
    return [event for record in records for event in engine.take(record, now)]


def test_a_hole_fires_for_its_sixtieth_second_and_clears_after_the_calm(engine, clock, told):
    calm = feed(engine, [clock(at) for at in range(150)])
    assert calm == []
    found = feed(engine, [clock(at, skipped=0 if at > 250 else 101) for at in range(250, 400)])
    assert told(found) == [("fired", 149 + 60), ("cleared", 250 + 100)]


def test_a_hole_of_fifty_nine_seconds_is_none(engine, clock):
    records = [clock(at) for at in range(150)] + [clock(at) for at in range(150 + 59, 400)]
    assert feed(engine, records) == []


def test_a_hole_of_sixty_seconds_is_one(engine, clock, told):
    records = [clock(at) for at in range(150)] + [clock(150 + 60)]
    assert told(feed(engine, records)) == [("fired", 209)]


def test_seconds_without_a_record_are_no_data(engine, clock, told):
    records = [clock(at) for at in range(150)] + [clock(at, idle=True) for at in range(150, 300)]
    assert told(feed(engine, records)) == [("fired", 209)]


def test_the_other_venues_clocks_tell_that_one_is_silent(engine, clock, told):
    records = [clock(at, venue=venue) for at in range(150) for venue in ("binance-spot", "deribit")]
    assert feed(engine, records) == []
    found = feed(engine, [clock(at, venue="binance-spot") for at in range(150, 300)])
    assert told(found) == [("fired", 209)]
    assert json.loads(found[0].evidence)["venues"] == ["deribit"]


def test_venues_that_fall_silent_together_are_one_alert(engine, clock, told):
    venues = ("binance-spot", "binance-usdm", "deribit")
    feed(engine, [clock(at, venue=venue) for at in range(150) for venue in venues])
    found = feed(engine, [clock(at, venue=venue) for at in range(500_000, 500_050) for venue in venues])
    assert told(found) == [("fired", 209)]
    assert found[0].message.startswith(
        "BTC: no data from binance-spot, binance-usdm, deribit for 60 s after 2026-01-01"
    )


def test_a_feed_that_flaps_is_one_alert(engine, clock, told):
    flapping = [clock(at) for begin in range(300, 1_900, 120) for at in range(begin, begin + 30)]
    steady = [clock(at) for at in range(2_000, 2_300)]
    found = feed(engine, [clock(at) for at in range(150)] + flapping + steady)
    assert told(found) == [("fired", 209), ("cleared", 2_100)]


def test_nothing_fires_before_the_first_calm(engine, clock):
    assert feed(engine, [clock(at) for at in range(99)] + [clock(300)]) == []


def test_a_clock_that_stops_fires_by_the_wall_clock_with_the_id_the_log_gives_later(engine, clock, told):
    feed(engine, [clock(at) for at in range(150)], now=1_000.0)
    assert engine.tick(1_059.9) == []
    found = engine.tick(1_060.0)
    assert told(found) == [("fired", 209)]
    assert engine.tick(2_000.0) == []
    assert feed(engine, [clock(500)], now=2_001.0) == []

    replayed = Engine(engine.rules)
    in_the_log = feed(replayed, [clock(at) for at in (*range(150), 500)])
    assert [event.alert_id for event in in_the_log] == [event.alert_id for event in found]


def test_what_the_wall_clock_said_is_taken_back_if_the_log_has_no_hole(engine, clock, told):
    feed(engine, [clock(at) for at in range(150)], now=1_000.0)
    assert told(engine.tick(1_100.0)) == [("fired", 209)]
    assert told(feed(engine, [clock(150), clock(151)], now=1_101.0)) == [("cleared", 150)]
    assert told(feed(engine, [clock(400)], now=1_102.0)) == [("fired", 211)]


def test_recorded_time_far_from_now_is_no_silence(engine, clock):
    feed(engine, [clock(at) for at in range(150)], now=5.0)
    assert engine.tick(6.0) == []


def test_a_second_read_again_changes_nothing(engine, clock):
    records = [clock(at) for at in (*range(150), *range(300, 450))]
    assert len(feed(engine, records)) == 2
    assert feed(engine, records) == []
