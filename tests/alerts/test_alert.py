"""The identity of an alert."""

import pytest

from alerts.alert import alert_id, clock_time

FIRED = {"rule": "flip", "underlying": "BTC", "second": 1_767_225_600, "state": "fired"}


def test_the_id_is_fixed_for_ever():
    assert alert_id(**FIRED) == "4eca935491e0fe8d964f154596865fc5"


@pytest.mark.parametrize(
    "other", [{"rule": "flop"}, {"underlying": "ETH"}, {"second": 1_767_225_601}, {"state": "cleared"}]
)
def test_every_part_of_the_identity_counts(other):
    assert alert_id(**{**FIRED, **other}) != alert_id(**FIRED)


def test_times_are_for_people():
    assert clock_time(1_767_225_600) == "2026-01-01 00:00:00 UTC"
