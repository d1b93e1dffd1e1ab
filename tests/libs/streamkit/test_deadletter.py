"""The breaker: some bad records are normal, many are not."""

import pytest

from streamkit.deadletter import Breaker, BreakerOpen


def test_a_hundred_refusals_in_a_row_open_it():
    breaker = Breaker()
    for _ in range(99):
        breaker.note("bad")
    with pytest.raises(BreakerOpen, match="100 in a row, the last for bad"):
        breaker.note("bad")


def test_a_good_record_ends_a_row():
    breaker = Breaker()
    for _ in range(3):
        breaker.passed(2000)
        for _ in range(50):
            breaker.note("bad")


def test_five_percent_of_the_last_thousand_are_borne_and_one_more_is_not():
    breaker = Breaker()
    for i in range(5_000):
        breaker.note("bad" if i % 20 == 0 else None)
    breaker.note("bad")
    with pytest.raises(BreakerOpen, match="51 of the last 1000"):
        breaker.note("bad")


def test_the_share_counts_only_once_there_are_a_thousand_records():
    breaker = Breaker()
    for _ in range(10):
        for _ in range(9):
            breaker.note("bad")
        breaker.passed(1)
