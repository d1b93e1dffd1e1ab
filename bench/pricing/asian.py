"""Section: options of one expiry on the settlement average, 80 strikes and 450 fixings an hour before expiry."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt
from bench.pricing import asian_numpy, asian_peers
from bench.pricing.section import Run, Section, Target
from bench.pricing.timing import fastest_s

from pricing.asian.averaging import MINUTES_PER_YEAR, Averaging
from pricing.asian.chain import AsianGreeks
from pricing.asian.curran import curran
from pricing.asian.rqmc import Sampling, rqmc
from pricing.asian.turnbull_wakeman import turnbull_wakeman

FloatArray = npt.NDArray[np.float64]

FORWARD: Final = 1e5
VOL: Final = 0.7
MINUTES: Final = 60.0
N_STRIKES: Final = 80
N_FIXINGS: Final = 450
AVERAGING: Final = Averaging(
    tau_years=MINUTES / MINUTES_PER_YEAR, window_years=30.0 / MINUTES_PER_YEAR, n_fixings=N_FIXINGS
)
OURS: Final = "gammaflow, 1,024 points"
FEWER: Final = "gammaflow, 256 points"
LIMIT_MS: Final = 10.0
ACCURACY: Final = 1e-5
SAMPLE: Final = Sampling()
NOTES: Final = (
    "Errors are the largest over the strikes, within 2.5 standard deviations, relative to the quantity itself.",
    "Right is our engine with 131,072 points of another seed; tests compare it with a deterministic method.",
    "Ours give price, delta, gamma and vega, closed forms too. The chain with a smile has 80 vols, all different.",
    "The geometric control variate has 1,024 paths, pathwise delta and likelihood-ratio gamma, as in textbooks.",
    "The plain conditional program and QuantLib price a strike at a time; they are timed on three and scaled up.",
    "QuantLib maps 4 seconds to a day. Its Monte-Carlo and Choi engines have no greeks.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """Seconds for a chain and the largest relative errors; None where a contender has no such figure."""

    seconds: float
    price_error: float
    delta_error: float | None = None
    gamma_error: float | None = None
    said_error: float | None = None
    """largest standard error of a price it reports, relative"""


def section(run: Run) -> Section:
    """Measure ours and the plain numpy programs in this process, taking turns, QuantLib in one of its own."""
    strikes = FORWARD * np.exp(VOL * np.sqrt(AVERAGING.tau_years * 2 / 3) * np.linspace(-2.5, 2.5, N_STRIKES))
    is_call = strikes >= FORWARD
    right = _value(strikes, is_call, VOL, Sampling(points=4096, seed=1))
    figures = _ours(run, strikes, is_call, right)
    figures |= _plain(run, strikes, is_call, right)
    figures |= _quantlib(run, strikes, is_call, right.price)
    return Section(
        title=f"Asian chain, ms ({N_STRIKES} strikes × {N_FIXINGS} fixings, 60 minutes before expiry, one thread)",
        columns=["contender", "ms a chain", "over ours", "price", "delta", "gamma", "standard error it says"],
        rows=[_row(name, figure, figures[OURS].seconds) for name, figure in figures.items()],
        targets=_targets(figures),
        notes=NOTES,
    )


def _ours(run: Run, strikes: FloatArray, is_call: npt.NDArray[np.bool_], right: AsianGreeks) -> dict[str, Figure]:
    smile = VOL * (1.0 + 0.2 * np.linspace(-1.0, 1.0, strikes.size) ** 2)
    fewer = replace(SAMPLE, points=16, randomisations=16)
    calls: dict[str, Callable[[], object]] = {
        OURS: lambda: _value(strikes, is_call, VOL, SAMPLE),
        "gammaflow, 1,024 points, smile": lambda: _value(strikes, is_call, smile, SAMPLE),
        FEWER: lambda: _value(strikes, is_call, VOL, fewer),
        "gammaflow, Curran": lambda: curran(AVERAGING, forward=FORWARD, strike=strikes, vol=VOL, is_call=is_call),
        "gammaflow, two moments": lambda: turnbull_wakeman(
            AVERAGING, forward=FORWARD, strike=strikes, vol=VOL, is_call=is_call
        ),
    }
    seconds = fastest_s(calls, run.repeats(25))
    smile_right = _value(strikes, is_call, smile, Sampling(points=4096, seed=1))
    figures = {}
    for name, call in calls.items():
        found = call()
        assert isinstance(found, AsianGreeks)
        errors = _errors(found, smile_right if "smile" in name else right)
        figures[name] = Figure(
            seconds=seconds[name], price_error=errors[0], delta_error=errors[1], gamma_error=errors[2]
        )
    for name, sample in ((OURS, SAMPLE), (FEWER, fewer)):
        estimate = rqmc(AVERAGING, forward=FORWARD, strike=strikes, vol=VOL, is_call=is_call, sampling=sample)
        said = float(np.max(estimate.standard_error.price / right.price))
        figures[name] = replace(figures[name], said_error=said)
    return figures


def _plain(run: Run, strikes: FloatArray, is_call: npt.NDArray[np.bool_], right: AsianGreeks) -> dict[str, Figure]:
    times = AVERAGING.first_years + AVERAGING.interval_years * np.arange(N_FIXINGS, dtype=np.float64)
    control = asian_numpy.geometric_control(
        times, FORWARD, strikes, VOL, is_call, paths=SAMPLE.points * SAMPLE.randomisations
    )
    few = np.linspace(0, strikes.size - 1, 3).astype(int)
    conditional = asian_numpy.conditional(times, FORWARD, strikes[few], VOL, is_call[few], paths=1024)
    calls = {
        "numpy, geometric control variate": control,
        "numpy, conditional, a strike at a time": conditional,
    }
    figures = {}
    for name, call in calls.items():
        seconds = fastest_s({name: call}, run.repeats(3))[name]
        found = call()
        some = slice(None) if found.price.size == strikes.size else few
        part = AsianGreeks(**{field: getattr(right, field)[some] for field in AsianGreeks.__slots__})
        errors = _errors(found.greeks(), part)
        figures[name] = Figure(
            seconds=seconds * strikes.size / found.price.size,
            price_error=errors[0],
            delta_error=errors[1],
            gamma_error=errors[2],
            said_error=float(np.max(found.price_error / part.price)),
        )
    return figures


def _quantlib(run: Run, strikes: FloatArray, is_call: npt.NDArray[np.bool_], right: FloatArray) -> dict[str, Figure]:
    few = np.linspace(0, strikes.size - 1, 5).astype(int)[1:-1]
    # 4 seconds are a day to QuantLib, which has no shorter ones.
    interval = AVERAGING.interval_years
    first_day = round(AVERAGING.first_years / interval)
    day_vol = VOL * np.sqrt(interval * 365.0)
    task = asian_peers.Task(
        strikes=strikes[few].tolist(),
        is_call=is_call[few].tolist(),
        forward=FORWARD,
        vol=float(day_vol),
        first_day=first_day,
        n_fixings=N_FIXINGS,
        repeats=run.repeats(3),
    )
    found = asian_peers.measured(run, task)
    return {
        f"QuantLib-Python, {name}": Figure(
            seconds=one["seconds"] * strikes.size,
            price_error=float(np.max(np.abs(np.array(one["price"]) / right[few] - 1.0))),
        )
        for name, one in found.items()
    }


def _value(
    strikes: FloatArray, is_call: npt.NDArray[np.bool_], vol: float | FloatArray, sample: Sampling
) -> AsianGreeks:
    return rqmc(AVERAGING, forward=FORWARD, strike=strikes, vol=vol, is_call=is_call, sampling=sample).value


def _errors(found: AsianGreeks, right: AsianGreeks) -> list[float]:
    pairs = ((found.price, right.price), (found.delta, right.delta), (found.gamma, right.gamma))
    return [float(np.max(np.abs(value / exact - 1.0))) for value, exact in pairs]


def _row(name: str, figure: Figure, ours_s: float) -> list[str]:
    errors = (figure.price_error, figure.delta_error, figure.gamma_error, figure.said_error)
    return [
        name,
        f"{figure.seconds * 1e3:,.2f}",
        f"{figure.seconds / ours_s:,.1f}×",
        *("" if error is None else f"{error:.0e}" for error in errors),
    ]


def _targets(figures: dict[str, Figure]) -> list[Target]:
    ours = figures[OURS]
    worst = max(ours.price_error, ours.delta_error or 0.0, ours.gamma_error or 0.0)
    ms = ours.seconds * 1e3
    return [
        Target(
            asked=f"80 strikes × 450 fixings at {ACCURACY:.0e} ≤ {LIMIT_MS:g} ms",
            measured=f"{ms:.1f} ms, largest relative error {worst:.0e}",
            met=ms <= LIMIT_MS and worst <= ACCURACY,
        )
    ]
