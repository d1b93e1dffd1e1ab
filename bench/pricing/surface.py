"""Section: volatility surfaces of the recorded chains, side by side with what else is used for them."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from bench.pricing import recorded_chains
from bench.pricing.recorded_chains import Chain
from bench.pricing.section import Run, Section, Target
from bench.pricing.timing import fastest_s, processor

from pricing.surface import essvi, pchip, sabr, svi, svi_calendar
from pricing.surface.andreasen_huge import MIN_QUOTES, ValueSmile, fit_surface
from pricing.surface.certificate import quote_fit
from pricing.surface.normalised import FloatArray, otm_values
from pricing.surface.quotes import SliceQuotes, Smile, smile_vol

OURS: Final = "Andreasen–Huge (ours)"
PCHIP: Final = "PCHIP of mid vols"
_SAMPLE_EVERY: Final = 25
_QUICK_EVERY: Final = 300
_STRIKES: Final = 1500
_ROUNDING: Final = 1e-12
_VARIANCE_ROUNDING: Final = 1e-7

Method = Callable[[Chain], Sequence[Smile]]


@dataclass
class Tally:
    """What a method did on a set of chains."""

    quotes: int = 0
    outside: int = 0
    worst: float = 1.0
    rmse: list[float] = field(default_factory=list)
    slices: int = 0
    butterflies: int = 0
    pairs: int = 0
    calendars: int = 0
    left_out: int = 0
    predicted: int = 0
    failures: int = 0
    seconds: float = 0.0

    @property
    def inside(self) -> float:
        return 1.0 - self.outside / self.quotes

    @property
    def out_of_sample(self) -> float:
        return self.predicted / max(self.left_out, 1)


def section(run: Run) -> Section:
    """Measure all methods on the daily chains and a sample of the six-hourly ones, ours on all of them."""
    daily = recorded_chains.daily()
    if not daily:
        return Section(title="Volatility surfaces", columns=["contender"], rows=[], notes=["no recorded chains here"])
    sample = recorded_chains.six_hourly(_QUICK_EVERY if run.quick else _SAMPLE_EVERY)
    rows = []
    for name, method in METHODS.items():
        run.say(f"  {name}")
        rows.append([name, *_cells(tally(method, daily)), *_cells(tally(method, sample))])
    everything = recorded_chains.six_hourly(_QUICK_EVERY if run.quick else 1)
    run.say("  all six-hourly chains")
    ours = {"daily": tally(METHODS[OURS], daily), "all": tally(METHODS[OURS], everything)}
    theirs = {"daily": tally(METHODS[PCHIP], daily), "all": tally(METHODS[PCHIP], everything)}
    heads = ("inside", "worst", "left out", "rmse", "butterfly", "calendar", "failed", "µs/slice")
    return Section(
        title=f"Volatility surfaces: {len(daily)} daily and {len(sample)} six-hourly chains",
        columns=["contender", *(f"{head}, {one}" for one in ("daily", "6 h") for head in heads)],
        rows=rows,
        targets=_targets(ours, theirs, len(everything), _timings(run, daily)),
        notes=[
            (
                "inside: share of quotes with the fitted vol inside bid–ask; worst: of the worst surface; left out: "
                "inner strikes when every other strike is fitted; rmse: median over slices of the distance to the "
                "mid, vol points, weighted by 1/spread²."
            ),
            (
                "butterfly, calendar: slices and pairs with arbitrage among 1,500 random strikes from half the "
                "lowest to one and a half times the highest strike of the surface."
            ),
            f"Ours on all {len(everything)} six-hourly surfaces: {_long(ours['all'])}",
        ],
    )


def _surface(chain: Chain) -> list[ValueSmile]:
    fit = fit_surface(chain)
    return [fit.smile(i) for i in range(len(fit.quotes))]


METHODS: Final[dict[str, Method]] = {
    OURS: _surface,
    "raw SVI, free": lambda chain: [svi.fit(q) for q in chain],
    "raw SVI, butterfly-free": lambda chain: [svi.fit_butterfly_free(q) for q in chain],
    "raw SVI, butterfly and calendar": svi_calendar.fit_all,
    "SABR, β = 1": lambda chain: [sabr.fit(q) for q in chain],
    "eSSVI, short to long": essvi.fit_all,
    PCHIP: lambda chain: [pchip.fit(q) for q in chain],
}


def tally(method: Method, chains: Sequence[Chain]) -> Tally:
    """Fit all chains, whole and by halves."""
    out = Tally()
    method(chains[0])  # loads kernels: not part of any figure
    for number, chain in enumerate(chains):
        started = processor()
        try:
            smiles = method(chain)
        except (ValueError, ArithmeticError):
            out.failures += 1
            continue
        out.seconds += processor() - started
        _add_fit(out, chain, smiles)
        _add_arbitrage(out, chain, smiles, np.random.default_rng(number))
        _add_prediction(out, method, chain)
    return out


def _add_fit(out: Tally, chain: Chain, smiles: Sequence[Smile]) -> None:
    fits = [quote_fit(q, smile) for q, smile in zip(chain, smiles, strict=True)]
    quotes, outside = sum(fit.n_quotes for fit in fits), sum(fit.n_outside for fit in fits)
    out.quotes += quotes
    out.outside += outside
    out.worst = min(out.worst, 1.0 - outside / quotes)
    out.rmse += [fit.rmse_vol_points for fit in fits]
    out.slices += len(fits)


def _add_arbitrage(out: Tally, chain: Chain, smiles: Sequence[Smile], rng: np.random.Generator) -> None:
    """Random strikes: slopes of the call value must not fall, total variance must not fall with time."""
    low = min(q.log_moneyness[0] for q in chain) + math.log(0.5)
    high = max(q.log_moneyness[-1] for q in chain) + math.log(1.5)
    k = np.sort(rng.uniform(low, high, _STRIKES))
    x = np.exp(k)
    step = np.diff(x)
    before = None
    for smile in smiles:
        value = _values(smile, k)
        call = value + np.maximum(1.0 - x, 0.0)
        slope = np.diff(call) / step
        # Digits of a call value, or of its strike, over the distance of two strikes.
        rounding = 1e-15 * np.maximum(call[:-1], x[1:]) / step
        out.butterflies += bool(np.any(np.diff(slope) < -(rounding[1:] + rounding[:-1]) - _ROUNDING))
        if before is not None:
            out.pairs += 1
            out.calendars += bool(np.any(value < before * (1.0 - _VARIANCE_ROUNDING) - 1e-15))
        before = value


def _values(smile: Smile, k: FloatArray) -> FloatArray:
    if isinstance(smile, ValueSmile):
        return smile.value(k)
    return np.asarray(otm_values(k, np.sqrt(np.maximum(smile.total_variance(k), 0.0))))


def _add_prediction(out: Tally, method: Method, chain: Chain) -> None:
    """Fit every other strike, predict the inner ones that were left out."""
    for half in (0, 1):
        kept = [
            SliceQuotes(q.expiry, q.tau_years, q.log_moneyness[half::2], q.bid[half::2], q.ask[half::2])
            for q in chain
            if q.log_moneyness.size >= 2 * MIN_QUOTES
        ]
        if not kept:
            continue
        whole = {q.expiry: q for q in chain}
        for q, smile in zip(kept, method(kept), strict=True):
            full = whole[q.expiry]
            left = np.arange(1 - half, full.log_moneyness.size, 2)
            left = left[(left > 0) & (left < full.log_moneyness.size - 1)]
            vol = smile_vol(smile, full.log_moneyness[left])
            inside = (vol >= full.bid_vol[left] - 1e-9) & (vol <= full.ask_vol[left] + 1e-9)
            out.left_out += left.size
            out.predicted += int(np.count_nonzero(inside))


def _cells(one: Tally) -> list[str]:
    return [
        f"{one.inside:.2%}",
        f"{one.worst:.1%}",
        f"{one.out_of_sample:.1%}",
        f"{np.median(one.rmse):.3f}",
        f"{one.butterflies}/{one.slices}",
        f"{one.calendars}/{one.pairs}",
        f"{one.failures}",
        f"{1e6 * one.seconds / one.slices:,.0f}",
    ]


def _long(one: Tally) -> str:
    return (
        f"{one.inside:.3%} of {one.quotes:,} quotes inside, worst surface {one.worst:.2%}, {one.out_of_sample:.2%} of "
        f"left-out strikes, rmse {np.median(one.rmse):.3f}, butterfly {one.butterflies} of {one.slices:,} slices, "
        f"calendar {one.calendars} of {one.pairs:,} pairs, {one.failures} failures."
    )


def _timings(run: Run, daily: Sequence[Chain]) -> tuple[float, float]:
    """Median over the daily chains of a cold and of a warm fit, seconds; warm: strikes moved by two basis points."""
    found = [_cold_and_warm(run, chain) for chain in daily]
    cold, warm = np.median(found, axis=0)
    return float(cold), float(warm)


def _cold_and_warm(run: Run, chain: Chain) -> tuple[float, float]:
    before = fit_surface(chain)
    moved = [SliceQuotes(q.expiry, q.tau_years, q.log_moneyness + 2e-4, q.bid, q.ask) for q in chain]
    calls = {"cold": lambda: fit_surface(moved), "warm": lambda: fit_surface(moved, warm=before)}
    seconds = fastest_s(calls, run.repeats(7))
    return seconds["cold"], seconds["warm"]


def _targets(
    ours: dict[str, Tally], theirs: dict[str, Tally], n_surfaces: int, seconds: tuple[float, float]
) -> list[Target]:
    targets = []
    for name, inside, left_out, rmse in (("daily", 0.998, 0.945, 0.15), ("all", 0.999, 0.97, 0.17)):
        one, other = ours[name], theirs[name]
        label = "8 daily chains" if name == "daily" else f"{n_surfaces} six-hourly chains"
        targets += [
            Target(asked=f"{label}: ≥ {inside:.1%} inside", measured=f"{one.inside:.3%}", met=one.inside >= inside),
            Target(asked=f"{label}: every surface ≥ 99 %", measured=f"{one.worst:.2%}", met=one.worst >= 0.99),
            Target(
                asked=f"{label}: left-out strikes ≥ {left_out:.1%} and not below PCHIP",
                measured=f"{one.out_of_sample:.2%}, PCHIP {other.out_of_sample:.2%}",
                met=one.out_of_sample >= max(left_out, other.out_of_sample),
            ),
            Target(
                asked=f"{label}: median rmse ≤ {rmse} vol points",
                measured=f"{np.median(one.rmse):.3f}",
                met=bool(np.median(one.rmse) <= rmse),
            ),
            Target(
                asked=f"{label}: no arbitrage, no failure",
                measured=f"{one.butterflies} + {one.calendars}, {one.failures}",
                met=one.butterflies + one.calendars + one.failures == 0,
            ),
        ]
    for (word, limit), value in zip((("cold", 8.0), ("warm", 3.0)), seconds, strict=True):
        targets.append(
            Target(
                asked=f"{word} surface of 11 expiries ≤ {limit:g} ms, median",
                measured=f"{1e3 * value:.2f} ms",
                met=1e3 * value <= limit,
            )
        )
    return targets
