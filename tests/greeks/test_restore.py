"""A restored core goes on exactly as the one that was written down."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts.wire import Codecs
from streamkit.core import Output

prices = st.one_of(st.none(), st.floats(1.0, 1e6), st.just(float("nan")))
changes = st.fixed_dictionaries(
    {
        "instrument": st.sampled_from("ABCDE"),
        "strike": st.sampled_from([90_000.0, 100_000.0]),
        "expires_in": st.sampled_from([2, 4, 86_400]),
        "underlying_price": prices,
        "index_price": prices,
        "mark_iv": st.one_of(st.none(), st.floats(0.01, 3.0)),
        "venue_delta": st.one_of(st.none(), st.floats(-1.0, 1.0)),
        "iv_age_ms": st.one_of(st.none(), st.integers(0, 100_000)),
    }
)
histories = st.lists(st.lists(changes, max_size=4), min_size=2, max_size=6)


def encoded(items) -> list:
    codecs = Codecs.offline()
    return [codecs.encode(item.topic, item.record) if isinstance(item, Output) else item for item in items]


# The fixtures are stateless factories: sharing them between examples is safe.
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=histories, data=st.data())
def test_restoring_at_any_second_gives_the_same_bytes_from_then_on(
    history, data, new_pricer, make_ticker, start: int
) -> None:
    def tickers(second: int, rows: list[dict]) -> list:
        return [
            make_ticker(
                **{k: v for k, v in row.items() if k != "expires_in"}
                | {"second": second, "expiry_ts": (start + row["expires_in"]) * 1_000_000}
            )
            for row in rows
        ]

    cut = data.draw(st.integers(0, len(history) - 1))
    straight, restored = new_pricer(), new_pricer()
    for k, rows in enumerate(history):
        if k == cut:
            restored.core.restore(straight.core.snapshot())
        expected = encoded(straight.second(start + k, tickers(start + k, rows)).items)
        if k >= cut:
            assert encoded(restored.second(start + k, tickers(start + k, rows)).items) == expected
    assert restored.core.snapshot() == straight.core.snapshot()


def test_a_state_of_another_version_is_refused_with_the_remedy(pricer) -> None:
    state = json.loads(pricer.core.snapshot()) | {"version": 99}
    with pytest.raises(ValueError, match=r"version 99.*replay from the start"):
        pricer.core.restore(json.dumps(state).encode())
