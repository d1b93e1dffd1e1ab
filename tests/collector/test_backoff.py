"""Full jitter: a random share of an exponentially growing, capped wait."""

from hypothesis import given
from hypothesis import strategies as st

from collector.backoff import full_jitter


def test_the_longest_wait_doubles_up_to_the_cap() -> None:
    waits = [full_jitter(attempt, base_s=0.5, cap_s=5.0, share=1.0) for attempt in range(6)]

    assert waits == [0.5, 1.0, 2.0, 4.0, 5.0, 5.0]


@given(st.integers(0, 10_000), st.floats(0, 1, exclude_max=True))
def test_any_share_of_the_wait_can_come_up(attempt: int, share: float) -> None:
    wait = full_jitter(attempt, base_s=0.5, cap_s=30.0, share=share)

    assert 0 <= wait < 30.0
    assert wait == share * full_jitter(attempt, base_s=0.5, cap_s=30.0, share=1.0)
