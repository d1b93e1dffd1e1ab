"""Chains made from known smiles, and an arbitrage check that knows nothing of how a surface was made."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from pricing.black76 import black76
from pricing.surface.build import ExpiryChain
from pricing.surface.options import OptionQuote
from pricing.surface.quotes import SliceQuotes

FloatArray = npt.NDArray[np.float64]


def otm_value(k: FloatArray, sd: FloatArray | float) -> FloatArray:
    """Out-of-the-money value over the forward by the reference implementation of Black-76."""
    return black76(forward=1.0, strike=np.exp(k), tau_years=1.0, vol=sd, is_call=k >= 0).price


def skewed_slice(
    expiry: str, tau_years: float, *, spread: float = 0.04, n: int = 25, level: float = 0.6
) -> SliceQuotes:
    """Quotes around a skewed smile; ``spread`` is relative to the value."""
    sd = level * np.sqrt(tau_years)
    k = sd * np.linspace(-3.0, 3.0, n)
    vol = level * (1.0 + 0.05 * (k / sd) ** 2 - 0.08 * (k / sd))
    value = otm_value(k, vol * np.sqrt(tau_years))
    return SliceQuotes(expiry, tau_years, k, value * (1.0 - spread / 2), value * (1.0 + spread / 2))


def chain_of(quotes: SliceQuotes, forward: float) -> ExpiryChain:
    """Both options of every strike of a slice, at values that agree with put–call parity."""
    options = []
    for k, bid, ask in zip(quotes.log_moneyness, quotes.bid, quotes.ask, strict=True):
        for is_call in (True, False):
            intrinsic = max(1.0 - np.exp(k), 0.0) if is_call else max(np.exp(k) - 1.0, 0.0)
            options.append(
                OptionQuote(
                    instrument=f"{quotes.expiry}-{k:.4f}-{'C' if is_call else 'P'}",
                    is_call=is_call,
                    strike=forward * float(np.exp(k)),
                    bid=float(bid + intrinsic),
                    ask=float(ask + intrinsic),
                    forward=forward,
                )
            )
    return ExpiryChain(expiry=quotes.expiry, tau_years=quotes.tau_years, options=tuple(options))


@pytest.fixture(name="otm_value", scope="session")
def _otm_value() -> Callable[..., FloatArray]:
    return otm_value


@pytest.fixture(name="skewed_slice", scope="session")
def _skewed_slice() -> Callable[..., SliceQuotes]:
    return skewed_slice


@pytest.fixture(name="chain_of", scope="session")
def _chain_of() -> Callable[..., ExpiryChain]:
    return chain_of


@pytest.fixture(name="skewed_chain")
def _skewed_chain() -> tuple[SliceQuotes, ...]:
    return tuple(skewed_slice(f"e{days:03d}", days / 365) for days in (1, 2, 7, 30, 90))


@pytest.fixture(name="count_arbitrage")
def _count_arbitrage() -> Callable[..., tuple[int, int, int]]:
    return count_arbitrage


def count_arbitrage(
    value_of: list[Callable[[FloatArray], FloatArray]], low: float, high: float, *, n: int = 3000, seed: int = 7
) -> tuple[int, int, int]:
    """Random strike triples of each slice, random strikes of each pair: (butterflies, slopes outside [−1, 0],
    calendars).

    Nothing is allowed beyond the rounding of the values themselves.
    """
    rng = np.random.default_rng(seed)
    k = np.sort(rng.uniform(low, high, n))
    x = np.exp(k)
    butterflies = slopes = calendars = 0
    before = None
    for value in value_of:
        p = value(k)
        c = p + np.maximum(1.0 - x, 0.0)
        step = np.diff(x)
        slope = np.diff(c) / step
        rounding = 1e-15 * np.maximum(c[:-1], x[1:]) / step  # of a value, or of its strike
        butterflies += int(np.sum(np.diff(slope) < -(rounding[1:] + rounding[:-1]) - 1e-12))
        slopes += int(np.sum((slope < -1.0 - rounding) | (slope > rounding)))
        if before is not None:
            calendars += int(np.sum(p < before * (1.0 - 1e-13)))
        before = p
    return butterflies, slopes, calendars
