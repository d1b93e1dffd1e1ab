"""Laws of the rules over made-up logs: where reading begins never changes what an alert is, only whether it is seen."""

from itertools import accumulate, pairwise

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from alerts.engine import Engine
from alerts.rules import FlipCrossed, NoData

FIXTURES = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300, deadline=None)

SPOTS = st.sampled_from([101_000.0, 99_000.0, 100_050.0, 99_950.0])
STATUSES = st.sampled_from(["ok"] * 9 + ["ambiguous"])
STEPS = st.sampled_from([1] * 12 + [2, 3, 4, 9])
"""Seconds from one exposure to the next; the rules below lose the side at more than 3."""
LONG = st.integers(1, 12)
"""Runs: a spot held for so many exposures."""

FLIP_RULES = st.builds(
    lambda persistence, more: FlipCrossed(
        name="flip", hysteresis_bps=10, persistence_s=persistence, cool_down_s=persistence + more, max_gap_s=3
    ),
    st.integers(0, 6),
    st.integers(0, 8),
)
NO_DATA_RULES = st.builds(
    lambda persistence, more: NoData(name="silence", persistence_s=persistence, cool_down_s=persistence + more),
    st.integers(1, 6),
    st.integers(0, 12),
)

RUNS = st.lists(st.tuples(SPOTS, STATUSES, STEPS, LONG), min_size=1, max_size=25)
CLOCKS = st.lists(
    st.tuples(
        st.sampled_from([1] * 8 + [3, 7, 20]), st.sampled_from(["ab", "ab", "ab", "a", "b"]), st.booleans(), LONG
    ),
    min_size=1,
    max_size=25,
)


def told(rule, records, *, now=0.0):
    engine = Engine((rule,))
    return [event for record in records for event in engine.take(record, now)]


def ids(events):
    return {event.alert_id for event in events}


def exposures(exposure, runs):
    spots = [(spot, status, step if not i else 1) for spot, status, step, n in runs for i in range(n)]
    seconds = accumulate(step for _, _, step in spots)
    return [exposure(at, spot, status=status) for at, (spot, status, _) in zip(seconds, spots, strict=True)]


def clocks(clock, runs):
    groups = [(venues, idle, step if not i else 1) for step, venues, idle, n in runs for i in range(n)]
    seconds = accumulate(step for _, _, step in groups)
    return [
        clock(at, venue=venue, idle=idle and venue == "a")
        for at, (venues, idle, _) in zip(seconds, groups, strict=True)
        for venue in venues
    ]


@FIXTURES
@given(rule=FLIP_RULES, runs=RUNS, data=st.data())
def test_a_replay_of_exposures_from_any_point_never_makes_up_an_alert(exposure, rule, runs, data):
    records = exposures(exposure, runs)
    begin = data.draw(st.integers(0, len(records)))
    assert ids(told(rule, records[begin:])) <= ids(told(rule, records))


@FIXTURES
@given(rule=NO_DATA_RULES, runs=CLOCKS, data=st.data())
def test_a_replay_of_clocks_from_any_point_never_makes_up_an_alert(clock, rule, runs, data):
    records = clocks(clock, runs)
    begin = data.draw(st.integers(0, len(records)))
    assert ids(told(rule, records[begin:])) <= ids(told(rule, records))


@FIXTURES
@given(rule=NO_DATA_RULES, runs=CLOCKS, ticks=st.lists(st.integers(0, 200)))
def test_the_wall_clock_adds_alerts_and_takes_none_away(clock, rule, runs, ticks):
    records = clocks(clock, runs)
    engine, live = Engine((rule,)), []
    for at, record in enumerate(records):
        live += engine.take(record, float(at))
        live += [event for _ in range(ticks.count(at)) for event in engine.tick(at + 1_000.0)]
    assert ids(told(rule, records)) <= ids(live)


@FIXTURES
@given(rule=FLIP_RULES, runs=RUNS, data=st.data())
def test_redelivered_exposures_never_make_up_an_alert(exposure, rule, runs, data):
    records = exposures(exposure, runs)
    again = data.draw(st.integers(0, len(records)))
    end = data.draw(st.integers(again, len(records)))
    found = told(rule, [*records[:end], *records[again:]])
    assert [event.alert_id for event in found] == [event.alert_id for event in told(rule, records)]


@FIXTURES
@given(rule=FLIP_RULES, runs=RUNS)
@example(
    rule=FlipCrossed(name="flip", hysteresis_bps=10, cool_down_s=5, max_gap_s=3),
    runs=[(101_000.0, "ok", 1, 12), (99_000.0, "ok", 1, 12), (101_000.0, "ok", 1, 12)],
)
def test_firing_and_clearing_take_turns_and_crossings_are_apart_by_the_calm(exposure, rule, runs):
    events = told(rule, exposures(exposure, runs))
    assert [event.state for event in events] == ["fired", "cleared"] * (len(events) // 2) + ["fired"] * (
        len(events) % 2
    )
    fired = [event.second for event in events if event.state == "fired"]
    assert all(later - earlier >= rule.cool_down_s - rule.persistence_s for earlier, later in pairwise(fired))


@FIXTURES
@given(runs=st.lists(st.tuples(st.sampled_from([100_090.0, 99_910.0, 100_000.0]), LONG), max_size=40))
def test_chatter_within_the_hysteresis_never_fires(exposure, flip_rule, runs):
    spots = [101_000.0] * 20 + [spot for spot, n in runs for _ in range(n)]
    assert told(flip_rule, [exposure(at, spot) for at, spot in enumerate(spots)]) == []


@FIXTURES
@given(runs=CLOCKS)
def test_a_hole_is_one_alert_however_many_venues_share_it(clock, runs):
    rule = NoData(name="silence", persistence_s=3, cool_down_s=3)
    fired = [event for event in told(rule, clocks(clock, runs)) if event.state == "fired"]
    assert len(ids(fired)) == len(fired)
