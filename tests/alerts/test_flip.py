"""flip_crossed by literals: what fires, what does not, what clears."""

import json
from dataclasses import replace

import pytest

from alerts.engine import Engine

ABOVE, BELOW, WITHIN = 101_000.0, 99_000.0, 100_050.0


@pytest.fixture
def told(exposure, start):
    """told(rule, spots, …): (state, seconds after the start) of each alert on one spot per second."""

    def run(rule, spots, **fields):
        engine = Engine((rule,))
        records = [exposure(at, spot, **fields) for at, spot in enumerate(spots) if spot is not None]
        return [(event.state, event.second - start) for record in records for event in engine.take(record, 0.0)]

    return run


def test_a_crossing_fires_in_its_second_and_clears_after_the_calm(told, flip_rule):
    assert told(flip_rule, [ABOVE] * 20 + [BELOW] * 30) == [("fired", 20), ("cleared", 30)]


def test_upward_crossings_fire_too(told, flip_rule):
    assert told(flip_rule, [BELOW] * 20 + [ABOVE] * 5) == [("fired", 20)]


def test_the_alert_says_what_happened(exposure, flip_rule, start):
    engine = Engine((flip_rule,))
    found = [event for at in range(21) for event in engine.take(exposure(at, ABOVE if at < 20 else BELOW), 0.0)]
    (event,) = found
    assert event.rule == "flip"
    assert event.underlying == "BTC"
    assert event.severity == "warning"
    assert (event.value, event.threshold) == (BELOW, 100_000.0)
    assert "fell below the gamma flip at 100,000.00: dealers hedge with the move" in event.message
    assert json.loads(event.evidence)["sign_model"] == "naive"
    assert json.loads(event.evidence)["side_since_second"] == start + 20
    assert len(event.alert_id) == 32


def test_chatter_within_the_hysteresis_is_no_crossing(told, flip_rule):
    assert told(flip_rule, [ABOVE] * 20 + [WITHIN, 99_950.0] * 20) == []


def test_spot_that_drifts_through_the_band_crosses_once_it_has_left_it(told, flip_rule):
    assert told(flip_rule, [ABOVE] * 20 + [WITHIN] * 5 + [BELOW] * 2) == [("fired", 25)]


def test_chatter_across_the_band_fires_once_and_clears_when_it_is_over(told, flip_rule):
    spots = [ABOVE] * 20 + [BELOW, ABOVE] * 50 + [ABOVE] * 20
    assert told(flip_rule, spots) == [("fired", 20), ("cleared", 20 + 99 + 10)]


def test_a_second_crossing_after_the_calm_fires_again(told, flip_rule):
    spots = [ABOVE] * 20 + [BELOW] * 15 + [ABOVE] * 5
    assert told(flip_rule, spots) == [("fired", 20), ("cleared", 30), ("fired", 35)]


def test_nothing_fires_before_the_first_calm(told, flip_rule):
    assert told(flip_rule, [ABOVE] * 9 + [BELOW] * 5) == []


def test_a_crossing_that_does_not_persist_is_forgotten(told, flip_rule):
    rule = replace(flip_rule, persistence_s=5)
    assert told(rule, [ABOVE] * 20 + [BELOW] * 4 + [ABOVE] * 20) == []
    assert told(rule, [ABOVE] * 20 + [BELOW] * 6) == [("fired", 25)]


def test_a_crossing_that_does_not_persist_leaves_the_watch_armed(told, flip_rule):
    rule = replace(flip_rule, persistence_s=5)
    assert told(rule, [ABOVE] * 20 + [BELOW] * 2 + [ABOVE] * 2 + [BELOW] * 6) == [("fired", 29)]


def test_a_crossing_hidden_by_a_hole_is_none(told, flip_rule):
    hole = [None] * 3
    assert told(flip_rule, [ABOVE] * 20 + hole + [BELOW] * 30) == []
    assert told(flip_rule, [ABOVE] * 20 + hole[:2] + [BELOW] * 3) == [("fired", 22)]


def test_an_alert_that_a_hole_interrupts_is_cleared_after_new_calm(told, flip_rule):
    spots = [ABOVE] * 20 + [BELOW] * 5 + [None] * 5 + [BELOW] * 20
    assert told(flip_rule, spots) == [("fired", 20), ("cleared", 40)]


@pytest.mark.parametrize("status", ["open", "ambiguous", "none_in_range", "suppressed"])
def test_only_a_single_flip_counts(told, flip_rule, status):
    assert told(flip_rule, [ABOVE] * 20 + [BELOW] * 20, status=status) == []


@pytest.mark.parametrize("flip", [None, 0.0, -5.0])
def test_without_a_level_nothing_counts(told, flip_rule, flip):
    assert told(flip_rule, [ABOVE] * 20 + [BELOW] * 20, flip=flip) == []


def test_a_level_that_moves_across_spot_is_a_crossing(exposure, flip_rule, start):
    engine = Engine((flip_rule,))
    levels = [100_000.0] * 20 + [102_000.0]
    found = [e for at, flip in enumerate(levels) for e in engine.take(exposure(at, ABOVE, flip=flip), 0.0)]
    assert [(event.state, event.second - start, event.threshold) for event in found] == [("fired", 20, 102_000.0)]


def test_other_series_are_not_the_rules_business(told, flip_rule):
    assert told(flip_rule, [ABOVE] * 20 + [BELOW] * 20, sign_model="taker_mirror") == []
    assert told(flip_rule, [ABOVE] * 20 + [BELOW] * 20, venue="elsewhere") == []


def test_underlyings_are_watched_apart(exposure, flip_rule, start):
    engine = Engine((flip_rule,))
    found = []
    for at in range(21):
        found += engine.take(exposure(at, ABOVE, underlying="BTC"), 0.0)
        found += engine.take(exposure(at, ABOVE if at < 20 else BELOW, underlying="SOL"), 0.0)
    assert [(event.underlying, event.second - start) for event in found] == [("SOL", 20)]


def test_a_second_read_again_changes_nothing(exposure, flip_rule):
    engine = Engine((flip_rule,))
    records = [exposure(at, ABOVE if at < 20 else BELOW) for at in range(25)]
    first = [event for record in records for event in engine.take(record, 0.0)]
    assert len(first) == 1
    assert [event for record in records for event in engine.take(record, 0.0)] == []


def test_the_first_word_on_a_second_counts(exposure, flip_rule):
    engine = Engine((flip_rule,))
    records = [*(exposure(at, ABOVE) for at in range(21)), exposure(20, BELOW)]
    assert [event for record in records for event in engine.take(record, 0.0)] == []
