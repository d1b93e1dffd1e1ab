"""The service's core: inventory rows, exposures and what a restart may not change."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts.wire import Codecs
from streamkit.core import Output, Reject

START = 1_800_000_000
DAY = 86_400


def test_naive_dealers_are_long_calls_and_short_puts_on_open_interest(route, make_ticker) -> None:
    rows = route.second(START, [make_ticker(), make_ticker(instrument="P", option_type="put")]).rows
    assert rows["C|naive"].position_base == 10.0
    assert rows["P|naive"].position_base == -10.0
    assert rows["P|naive"].explained_share == 1.0
    assert rows["C|naive"].quality == ()


@pytest.mark.parametrize(("side", "position"), [("buy", -3.0), ("sell", 3.0)])
def test_taker_mirror_dealers_hold_the_opposite_of_the_taker(
    route, make_ticker, make_trade, side: str, position: float
) -> None:
    trades = [make_trade("1", taker_side=side), make_trade("2", taker_side=side, amount_base=2.0)]
    row = route.second(START, [make_ticker()], trades).rows["C|taker_mirror"]
    assert row.position_base == position
    assert row.explained_share == 0.3
    assert row.last_trade_ts == START * 1_000_000 + 7
    assert row.quality == ()


def test_zero_without_prints_is_flagged_as_no_flow_recorded(route, make_ticker) -> None:
    second = route.second(START, [make_ticker()])
    row = second.rows["C|taker_mirror"]
    assert (row.position_base, row.explained_share) == (0.0, 0.0)
    assert row.quality == ("no_trades_since_record_start",)
    assert second.exposures["taker_mirror"].quality == ("flow_since_record_start", "no_trades_since_record_start")
    assert second.exposures["naive"].quality == ()


def test_a_recorded_print_clears_the_flag_of_an_empty_record(route, make_ticker, make_trade) -> None:
    exposure = route.second(START, [make_ticker()], [make_trade("1")]).exposures["taker_mirror"]
    assert exposure.quality == ("flow_since_record_start",)


def test_a_print_is_counted_once_by_its_id(route, make_ticker, make_trade) -> None:
    route.second(START, [make_ticker()], [make_trade("1"), make_trade("1")])
    again = route.second(START + 1, [], [make_trade("1"), make_trade("1", instrument="OTHER")])
    assert again.rows == {}
    row = route.second(START + 2, [], [make_trade("2")]).rows["C|taker_mirror"]
    assert row.position_base == -2.0


def test_only_option_prints_are_counted(route, make_ticker, make_trade) -> None:
    perpetual = make_trade("1", kind="perpetual")
    assert route.second(START, [make_ticker()], [perpetual]).rows["C|taker_mirror"].position_base == 0.0


@pytest.mark.parametrize("amount", [None, 0.0, -1.0, float("nan")])
def test_a_print_without_a_size_is_refused_by_field(route, make_ticker, make_trade, amount: float | None) -> None:
    second = route.second(START, [make_ticker()], [make_trade("1", amount_base=amount)])
    (reject,) = [item for item in second.items if isinstance(item, Reject)]
    assert reject.reason == "invalid_trade"
    assert "amount_base" in reject.detail
    assert second.rows["C|taker_mirror"].position_base == 0.0


def test_flow_that_precedes_the_listing_is_kept_for_it(route, make_ticker, make_trade) -> None:
    route.second(START, [], [make_trade("1")])
    assert route.second(START + 1, [make_ticker()]).rows["C|taker_mirror"].position_base == -1.0


def test_flow_of_what_is_never_listed_is_forgotten_after_seven_days(route, make_ticker, make_trade) -> None:
    route.second(START, [], [make_trade("1")])
    route.second(START + 7 * DAY + 1)
    assert route.second(START + 7 * DAY + 2, [make_ticker()]).rows["C|taker_mirror"].position_base == 0.0


def test_a_row_is_written_only_when_it_changes(route, make_ticker, make_trade) -> None:
    assert len(route.second(START, [make_ticker()]).rows) == 2
    assert route.second(START + 1, [make_ticker(mark_iv=0.6)]).rows == {}
    changed = route.second(START + 2, [make_ticker(open_interest_base=11.0)]).rows
    assert {key: row.open_interest_base for key, row in changed.items()} == {"C|naive": 11.0, "C|taker_mirror": 11.0}
    assert set(route.second(START + 3, [], [make_trade("1")]).rows) == {"C|naive", "C|taker_mirror"}


def test_without_open_interest_the_naive_position_is_unknown(route, make_ticker) -> None:
    row = route.second(START, [make_ticker(open_interest_base=None)]).rows["C|naive"]
    assert (row.position_base, row.explained_share, row.quality) == (None, None, ("no_open_interest",))


def test_an_expired_option_leaves_by_tombstones_once(route, make_ticker, make_trade) -> None:
    expiring = make_ticker(expiry_ts=(START + 2) * 1_000_000)
    route.second(START, [expiring, make_ticker(instrument="LATER")], [make_trade("1")])
    gone = route.second(START + 1)
    assert {key for key, row in gone.rows.items() if row is None} == {"C|naive", "C|taker_mirror"}
    assert gone.exposures["naive"].n_listed == 1
    assert route.second(START + 2).rows == {}


def test_every_second_has_one_exposure_per_sign_model(route, make_ticker) -> None:
    route.second(START, [make_ticker()])
    idle = route.second(START + 1, received_ts=None)
    assert set(idle.exposures) == {"naive", "taker_mirror"}
    exposure = idle.exposures["naive"]
    assert (exposure.status, exposure.greeks_model, exposure.received_ts) == ("ok", "european", None)
    assert exposure.profile_dynamics == "sticky_strike"
    assert len(exposure.profile_spots) == len(exposure.profile_ngi_usd_per_pct) == 301


def test_a_suppressed_exposure_is_null_not_zero(route, make_ticker) -> None:
    exposure = route.second(START, [make_ticker(mark_iv=None)]).exposures["naive"]
    assert (exposure.status, exposure.flip_status) == ("suppressed", "suppressed")
    assert "no_priced_options" in exposure.reasons
    for name in ("ngi_usd_per_pct", "vss_usd_per_vol_point", "chl_usd_per_day", "dex_usd", "flip_spot", "call_wall"):
        assert getattr(exposure, name) is None, name
    assert exposure.profile_spots == ()
    assert exposure.by_strike == ()
    assert (exposure.n_listed, exposure.n_used, exposure.spot) == (1, 0, 100_000.0)


def test_a_venue_without_options_only_closes_its_second(route, make_trade) -> None:
    perpetual = make_trade("1", kind="perpetual", venue="binance-usdm")
    (close,) = route.second(START, [], [perpetual], venue="binance-usdm").items
    assert (close.venue, close.second, close.input_records) == ("binance-usdm", START, 1)
    assert json.loads(route.flow.snapshot())["inventories"] == []


ticks = st.fixed_dictionaries(
    {
        "instrument": st.sampled_from("CDE"),
        "strike": st.sampled_from([90_000.0, 110_000.0]),
        "option_type": st.sampled_from(["call", "put"]),
        "open_interest_base": st.one_of(st.none(), st.floats(0.0, 1e3)),
        "expires_in": st.sampled_from([3, 86_400, 864_000]),
        "mark_iv": st.one_of(st.none(), st.floats(0.2, 1.5)),
    }
)
prints = st.fixed_dictionaries(
    {
        "trade_id": st.sampled_from([str(i) for i in range(9)]),
        "instrument": st.sampled_from("CDEF"),
        "taker_side": st.sampled_from(["buy", "sell"]),
        "amount_base": st.floats(0.1, 25.0),
    }
)
histories = st.lists(st.tuples(st.lists(ticks, max_size=4), st.lists(prints, max_size=4)), min_size=2, max_size=5)


def encoded(items: list) -> list:
    codecs = Codecs.offline()
    return [
        (item.topic, item.key, item.record and codecs.encode(item.topic, item.record), item.timestamp_ms)
        for item in items
        if isinstance(item, Output)
    ]


# The fixtures are stateless factories: sharing them between examples is safe.
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=histories, data=st.data())
def test_restoring_at_any_second_gives_the_same_bytes_from_then_on(
    history, data, new_route, make_ticker, make_trade
) -> None:
    def inputs(k: int) -> tuple[list, list]:
        rows, trades = history[k]
        tickers = [
            make_ticker(
                **{name: value for name, value in row.items() if name != "expires_in"}
                | {"second": START + k, "expiry_ts": (START + row["expires_in"]) * 1_000_000}
            )
            for row in rows
        ]
        return tickers, [make_trade(**row) for row in trades]

    cut = data.draw(st.integers(0, len(history) - 1))
    straight, restored = new_route(), new_route()
    for k in range(len(history)):
        if k == cut:
            restored.flow.restore(straight.flow.snapshot())
            restored.greeks.restore(straight.greeks.snapshot())
        expected = encoded(straight.second(START + k, *inputs(k)).items)
        if k >= cut:
            assert encoded(restored.second(START + k, *inputs(k)).items) == expected
    assert restored.flow.snapshot() == straight.flow.snapshot()


def test_a_state_of_another_version_is_refused_with_the_remedy(route) -> None:
    state = json.loads(route.flow.snapshot()) | {"version": 99}
    with pytest.raises(ValueError, match=r"version 99.*replay from the start"):
        route.flow.restore(json.dumps(state).encode())
