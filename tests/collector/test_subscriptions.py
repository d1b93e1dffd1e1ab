"""Subscription bookkeeping: chunks, one call at a time, acknowledged per channel."""

from hypothesis import given
from hypothesis import strategies as st

from collector.subscriptions import Subscriptions

SPACING = 350


def make(chunk: int = 3) -> Subscriptions:
    return Subscriptions(chunk=chunk, spacing_us=SPACING)


def test_calls_are_chunked_spaced_and_wait_for_the_answer() -> None:
    subscriptions = make()
    subscriptions.want("abcde")

    first = subscriptions.next_call(0)
    assert first is not None
    assert first.channels == ("a", "b", "c")
    assert subscriptions.next_call(10 * SPACING) is None, "the first call is not answered yet"
    subscriptions.answer("abc")
    assert subscriptions.next_call(SPACING - 1) is None, "too soon"
    second = subscriptions.next_call(SPACING)
    assert second is not None
    assert (second.change, second.channels) == ("subscribe", ("d", "e"))


def test_a_channel_missing_from_the_answer_is_refused_and_no_longer_wanted() -> None:
    subscriptions = make()
    subscriptions.want("abc")
    subscriptions.next_call(0)

    assert subscriptions.answer(["a", "c"]) == ("b",)
    assert "b" not in subscriptions
    assert "a" in subscriptions


def test_a_channel_wanted_twice_is_asked_for_once() -> None:
    subscriptions = make()
    subscriptions.want("aab")
    subscriptions.want("b")

    call = subscriptions.next_call(0)

    assert call is not None
    assert call.channels == ("a", "b")


def test_dropping_unsubscribes_only_what_was_wanted() -> None:
    subscriptions = make()
    subscriptions.want("a")
    subscriptions.next_call(0)
    subscriptions.answer("a")

    subscriptions.drop("az")

    call = subscriptions.next_call(SPACING)
    assert call is not None
    assert (call.change, call.channels) == ("unsubscribe", ("a",))
    assert subscriptions.answer(()) == (), "an unsubscription is never refused"


def test_renewing_unsubscribes_then_subscribes() -> None:
    subscriptions = make()
    subscriptions.want("ab")
    subscriptions.next_call(0)
    subscriptions.answer("ab")

    subscriptions.renew("b")

    changes = []
    for now in (SPACING, 2 * SPACING):
        call = subscriptions.next_call(now)
        assert call is not None
        changes.append((call.change, call.channels))
        subscriptions.answer("b")
    assert changes == [("unsubscribe", ("b",)), ("subscribe", ("b",))]


def test_a_postponed_call_is_made_again_with_the_same_channels_in_order() -> None:
    subscriptions = make()
    subscriptions.want("abcd")
    subscriptions.next_call(0)

    subscriptions.postpone(5000)

    assert subscriptions.next_call(4999) is None
    call = subscriptions.next_call(5000)
    assert call is not None
    assert call.channels == ("a", "b", "c")


@given(st.lists(st.sampled_from("abcdefgh"), max_size=30), st.integers(1, 5))
def test_after_a_restart_everything_wanted_is_asked_for_exactly_once(wanted: list[str], chunk: int) -> None:
    subscriptions = make(chunk)
    subscriptions.want(wanted)
    subscriptions.next_call(0)

    subscriptions.restart()

    asked: list[str] = []
    now = 0
    while call := subscriptions.next_call(now):
        assert len(call.channels) <= chunk
        asked += call.channels
        subscriptions.answer(call.channels)
        now += SPACING
    assert sorted(asked) == sorted(set(wanted))
