"""Silence: reported once, then after twice the patience, until the channel speaks."""

from collector.liveness import Liveness


def test_a_channel_is_silent_after_the_patience_and_not_before() -> None:
    liveness = Liveness(100)
    liveness.expect("a", 0)
    liveness.expect("b", 50)

    assert liveness.silent(99) == []
    assert liveness.silent(100) == ["a"]


def test_a_channel_that_speaks_is_not_silent() -> None:
    liveness = Liveness(100)
    liveness.expect("a", 0)
    liveness.heard("a", 60)

    assert liveness.silent(159) == []
    assert liveness.silent(160) == ["a"]


def test_patience_doubles_while_the_channel_stays_silent() -> None:
    liveness = Liveness(100)
    liveness.expect("a", 0)

    reported = [now for now in range(0, 1000, 100) if liveness.silent(now)]

    assert reported == [100, 200, 400, 800]


def test_patience_is_back_once_it_has_spoken() -> None:
    liveness = Liveness(100)
    liveness.expect("a", 0)
    liveness.silent(100)
    liveness.heard("a", 150)

    assert liveness.silent(250) == ["a"]


def test_forgotten_and_unexpected_channels_are_never_silent() -> None:
    liveness = Liveness(100)
    liveness.expect("a", 0)
    liveness.forget("a")
    liveness.heard("b", 0)

    assert liveness.silent(10_000) == []


def test_the_latest_sign_of_life_is_that_of_any_expected_channel() -> None:
    liveness = Liveness(100)
    assert liveness.latest(7) == 7, "nothing is expected, so nothing is late"

    liveness.expect("a", 10)
    liveness.expect("b", 20)
    liveness.heard("a", 30)
    liveness.heard("unexpected", 40)

    assert liveness.latest(99) == 30
