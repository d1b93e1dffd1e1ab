"""Factories: option chains as arrays, and seconds of the service fed through the greeks core."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest

from contracts.records import Clock, OptionGreeks, Ticker, Trade
from dealer_flow.chain import ChainGreeks
from dealer_flow.flow import FlowConfig, FlowCore
from greeks.pricer import GreeksCore, PricerConfig
from pricing.black76 import black76
from streamkit.core import ClockedSecond, Input, Item, Output

START = 1_800_000_000
DAY = 86_400
SPOT = 100_000.0


def chain(
    strikes: Iterable[float],
    *,
    days: Iterable[float] = (7.0, 30.0),
    vol: float = 0.5,
    spot: float = SPOT,
    **changes: Any,
) -> ChainGreeks:
    """Calls and puts of every strike and expiry, forward = spot, open interest 10, all fresh."""
    cells = [(d, k, side) for d in days for k in strikes for side in (True, False)]
    tau = np.array([d / 365 for d, _, _ in cells])
    strike = np.array([k for _, k, _ in cells], dtype=np.float64)
    is_call = np.array([side for _, _, side in cells], dtype=np.bool_)
    n = len(cells)
    arrays = {
        "expiry_ts": np.array([int((START + d * DAY) * 1_000_000) for d, _, _ in cells], dtype=np.int64),
        "strike": strike,
        "is_call": is_call,
        "tau_years": tau,
        "forward": np.full(n, spot),
        "vol": np.full(n, vol),
        "open_interest_base": np.full(n, 10.0),
        "age_ms": np.zeros(n),
        "stale": np.zeros(n, dtype=np.bool_),
    } | changes
    value = black76(forward=arrays["forward"], strike=strike, tau_years=tau, vol=arrays["vol"], is_call=is_call)
    names = ("delta", "gamma", "vega_per_unit_vol", "vanna_per_unit_vol", "volga_per_unit_vol2", "charm_per_year")
    greeks = {name: arrays.pop(name, getattr(value, name)) for name in names}
    head = {"spot": arrays.pop("spot_price", spot), "spot_age_ms": arrays.pop("spot_age_ms", 0.0)}
    return ChainGreeks(**head, **arrays, **greeks)


@pytest.fixture
def make_chain() -> Callable[..., ChainGreeks]:
    return chain


def random_chain(seed: int, *, n_strikes: int = 15) -> tuple[ChainGreeks, np.ndarray]:
    """A chain with a smile, and a book in it, both sides."""
    rng = np.random.default_rng(seed)
    strikes = np.sort(rng.uniform(0.4, 2.0, n_strikes)) * SPOT
    whole = chain(strikes, days=(1.0, 9.0, 60.0))
    smile = rng.uniform(0.3, 0.6) + rng.uniform(0.0, 0.5) * np.log(whole.strike / SPOT) ** 2
    whole = chain(strikes, days=(1.0, 9.0, 60.0), vol=smile)
    return whole, rng.normal(0.0, 100.0, whole.strike.size)


@pytest.fixture
def make_random_chain() -> Callable[..., tuple[ChainGreeks, np.ndarray]]:
    return random_chain


def ticker(**changes: Any) -> Ticker:
    """A whole, fresh, made-up BTC call 30 days from expiry."""
    ages = {f"{part}_age_ms": 0 for part in ("iv", "underlying", "index", "open_interest", "greeks")}
    fields = {
        "venue": "deribit",
        "instrument": "C",
        "underlying": "BTC",
        "kind": "option",
        "second": START,
        "received_ts": START * 1_000_000,
        "state": "open",
        "linear": False,
        "strike": SPOT,
        "expiry_ts": (START + 30 * DAY) * 1_000_000,
        "option_type": "call",
        "index_price": SPOT,
        "underlying_price": SPOT,
        "mark_iv": 0.5,
        "open_interest_base": 10.0,
    }
    return Ticker(**(fields | ages | changes))


def trade(trade_id: str, **changes: Any) -> Trade:
    """A made-up print: a taker buys one coin of the call."""
    fields = {
        "venue": "deribit",
        "instrument": "C",
        "underlying": "BTC",
        "kind": "option",
        "received_ts": START * 1_000_000 + 7,
        "trade_id": trade_id,
        "taker_side": "buy",
        "price": 0.04,
        "amount_base": 1.0,
        "liquidation": "none",
    }
    return Trade(**(fields | changes))


class Second:
    """The items of one second, taken apart."""

    def __init__(self, items: Iterable[Item]) -> None:
        self.items = list(items)
        outputs = [item for item in self.items if isinstance(item, Output)]
        self.rows = {o.key: o.record for o in outputs if o.topic == "dealer.inventory"}
        self.exposures = {o.record.sign_model: o.record for o in outputs if o.topic == "dealer.exposure"}


class Route:
    """Tickers and trades through the greeks core and the dealer-flow core."""

    def __init__(self) -> None:
        self.greeks = GreeksCore(PricerConfig())
        self.flow = FlowCore(FlowConfig())

    def price(self, second: int, tickers: Iterable[Ticker] = (), **clock: Any) -> tuple[Clock, list[OptionGreeks]]:
        fields = {
            "venue": "deribit",
            "underlying": "BTC",
            "second": second,
            "received_ts": second * 1_000_000,
            "skipped_seconds": 0,
            "input_records": 0,
            "rejected_records": 0,
        }
        whole = Clock(**(fields | clock))
        inputs = [Input("market.tickers", 2, n, None, second * 1000, t) for n, t in enumerate(tickers)]
        items = self.greeks.step(ClockedSecond(whole, {"market.tickers": inputs}))
        return whole, [item.record for item in items if isinstance(item, Output)]

    def second(self, second: int, tickers: Iterable[Ticker] = (), trades: Iterable[Trade] = (), **clock: Any) -> Second:
        whole, records = self.price(second, tickers, **clock)
        greeks = [Input("options.greeks", 2, n, None, second * 1000, r) for n, r in enumerate(records)]
        prints = [Input("market.trades", 2, n, None, second * 1000, t) for n, t in enumerate(trades)]
        return Second(self.flow.step(ClockedSecond(whole, {"options.greeks": greeks, "market.trades": prints})))


@pytest.fixture
def route() -> Route:
    return Route()


@pytest.fixture
def new_route() -> type[Route]:
    return Route


@pytest.fixture
def make_ticker() -> Callable[..., Ticker]:
    return ticker


@pytest.fixture
def make_trade() -> Callable[..., Trade]:
    return trade
